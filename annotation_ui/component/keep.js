// Has the browser keep its seat in a cookie that scripts cannot read, or give it up; and whether it really did.

export default function ({ data, parentElement, setTriggerValue }) {
  if (parentElement.sent === data.id) return;
  parentElement.sent = data.id;
  const send = (url, body) =>
    fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      credentials: "same-origin",
      body: JSON.stringify(body),
    });
  const tell = (good) => setTriggerValue("answered", good ? "kept" : "failed");
  send(data.url, data.key ? { key: data.key } : {})
    .then((answer) => (answer.ok && data.check ? send(data.check, {}) : answer)) // a browser may refuse cookies without a word
    .then((answer) => tell(answer.ok))
    .catch(() => tell(false));
}
