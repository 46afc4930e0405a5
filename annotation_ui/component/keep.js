// Has the browser keep its seat in a cookie that scripts cannot read, or give it up.

export default function ({ data, parentElement, setTriggerValue }) {
  if (parentElement.sent === data.id) return;
  parentElement.sent = data.id;
  fetch(data.url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
    body: JSON.stringify(data.key ? { key: data.key } : {}),
  })
    .then((answer) => setTriggerValue("answered", answer.ok ? "kept" : "failed"))
    .catch(() => setTriggerValue("answered", "failed"));
}
