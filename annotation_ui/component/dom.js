// Small things that the rest is built of: elements with text, patterns, colours, what a tab remembers.

function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // no storage
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // whatever it says, it is text
  return made;
}

function fill(pattern, ...values) {
  return values.reduce((text, value, index) => text.replaceAll(`{${index}}`, String(value)), pattern);
}

function luminance(colour) {
  const [red, green, blue] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
}
