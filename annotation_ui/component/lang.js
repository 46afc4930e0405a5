// Says in which language the page speaks, for those who have it read aloud: Streamlit calls every page English.

export default function ({ data }) {
  document.documentElement.lang = data.lang;
}
