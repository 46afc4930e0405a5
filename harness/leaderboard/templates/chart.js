"use strict";
// The scatters, in the page's colours. Expressions are interpreted (`ast`), never compiled, so that the policy needs no eval.
(() => {
  const holders = [...document.querySelectorAll("[data-chart]")];
  if (!holders.length) return;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = () => {
    const [ink, soft, line] = ["--ink", "--soft", "--line"].map(colour);
    return {
      background: "transparent", font: "system-ui, sans-serif",
      view: { stroke: line },
      axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 13 },
      legend: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
      title: { color: ink, fontSize: 14, anchor: "start" },
      text: { color: ink }, point: { color: soft }, line: { color: soft }, range: { category: [colour("--accent"), colour("--warm"), soft, ink] },
    };
  };
  const draw = () => Promise.all(holders.map((holder) => {
    const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
    return window.vegaEmbed(holder, spec, {
      mode: "vega-lite", ast: true, actions: false, renderer: "canvas", defaultStyle: false, config: config(),
      tooltip: { disableDefaultStyle: true },
    }).then((result) => { holder.dataset.drawn = String(result.view.data("points").length); });
  }));
  draw();
  document.addEventListener("seetell-theme", draw);
})();
