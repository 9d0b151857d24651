// The clips of a machine: the threshold's slider, what it makes of them, the filters; and the line that moves as a cut plays.
(() => {
  for (const audio of document.querySelectorAll("audio")) {
    const pictures = audio.closest(".listen").previousElementSibling;
    const { begin, seconds } = audio.dataset;
    audio.addEventListener("timeupdate", () => {
      pictures.classList.add("playing");
      pictures.style.setProperty("--head", `${(100 * (Number(begin) + audio.currentTime)) / Number(seconds)}%`);
    });
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    });
  }

  const data = document.getElementById("data");
  if (!data) return;
  const { low, high, threshold: own, clips } = JSON.parse(data.textContent);
  const items = [...document.querySelectorAll(".clip")];
  const slider = document.getElementById("threshold");
  const form = document.querySelector(".filters");
  const section = document.querySelector(".decisions");
  const words = (number) => number.toFixed(2).replace("-", "−");
  const share = (part, all) => (all ? `${part} of ${all} (${Math.round((100 * part) / all)} %)` : "–");
  let threshold = own ?? Math.sinh(high);

  const count = (domain) => {
    const here = clips.filter((clip) => !domain || clip.domain === domain);
    const called = here.filter((clip) => clip.score > threshold);
    const of = (list, label) => list.filter((clip) => clip.label === label).length;
    const caught = of(called, "anomaly"), alarms = of(called, "normal");
    return {
      called: share(called.length, here.length),
      precision: share(caught, caught + alarms),
      recall: share(caught, of(here, "anomaly")),
      alarms: share(alarms, of(here, "normal")),
    };
  };
  const filter = () => {
    const wanted = (name) => form.elements[name]?.value || "";
    let shown = 0;
    items.forEach((item, index) => {
      const { label } = clips[index];
      const called = clips[index].score > threshold;
      const wrong = label !== "" && called !== (label === "anomaly");
      const decision = { "": true, called, passed: !called, wrong }[wanted("decision")];
      const fits = decision && (!wanted("domain") || item.dataset.domain === wanted("domain"))
        && (!wanted("label") || item.dataset.label === wanted("label"));
      item.hidden = !fits;
      shown += fits;
    });
    document.getElementById("shown").textContent = `${shown} of ${items.length} clips`;
  };
  const update = () => {
    const place = (Math.asinh(threshold) - low) / (high - low);
    section.style.setProperty("--threshold", `${100 * Math.min(Math.max(place, 0), 1)}%`);
    section.dataset.threshold = threshold;
    document.getElementById("value").textContent = words(threshold);
    for (const row of section.querySelectorAll("tr[data-domain]")) {
      const counts = count(row.dataset.domain);
      for (const cell of row.querySelectorAll("[data-count]")) cell.textContent = counts[cell.dataset.count];
    }
    const said = count("").called;
    slider.setAttribute("aria-valuetext", `${words(threshold)}: ${said} called anomalous`);
    items.forEach((item, index) => {
      const called = clips[index].score > threshold;
      item.classList.toggle("called", called);
      item.querySelector(".decision").textContent = called ? "called anomalous" : "called normal";
    });
    filter();
  };
  const reset = () => {
    threshold = own ?? Math.sinh(high);
    slider.value = Math.round((slider.max * (Math.asinh(threshold) - low)) / (high - low));
    update();
  };
  slider.addEventListener("input", () => {
    threshold = Math.sinh(low + (slider.value / slider.max) * (high - low));
    update();
  });
  document.getElementById("back").addEventListener("click", reset);
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  reset();
})();
