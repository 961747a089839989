"use strict";
(() => {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const clips = [...document.querySelectorAll("div.clip")].filter((clip) => clip.querySelector("video"));
  const all = document.querySelector("button.all");
  let paused = calm.matches; // by hand, or by the reader's settings

  const play = (video) => video.play().catch(() => {});
  const parts = clips.map((clip) => {
    const [video, button, seek] = ["video", ".play", ".seek"].map((name) => clip.querySelector(name));
    const label = video.getAttribute("aria-label");
    const part = { video, inView: false, stopped: false };
    let frame = 0;
    const show = () => {
      if (video.duration && document.activeElement !== seek) {
        seek.value = Math.round((1000 * video.currentTime) / video.duration);
      }
      if (!video.paused) frame = requestAnimationFrame(show);
    };
    const told = () => {
      button.classList.toggle("going", !video.paused);
      button.setAttribute("aria-label", `${video.paused ? "Play" : "Pause"}: ${label}`);
      cancelAnimationFrame(frame);
      show();
    };
    video.controls = false;
    clip.querySelector(".transport").hidden = false;
    video.addEventListener("play", told);
    video.addEventListener("pause", told);
    video.addEventListener("seeked", show);
    const toggle = () => {
      part.stopped = !video.paused;
      if (video.paused) play(video);
      else video.pause();
    };
    button.addEventListener("click", toggle);
    video.addEventListener("click", toggle);
    seek.addEventListener("input", () => {
      const go = () => { video.currentTime = (seek.value / 1000) * video.duration; };
      if (video.duration) go();
      else {
        video.addEventListener("loadedmetadata", go, { once: true });
        video.preload = "auto";
        video.load();
      }
    });
    return part;
  });

  // A clip that was started by hand, while all are paused, goes on as long as it can be seen.
  const settle = (part) => {
    if (!part.inView) part.video.pause();
    else if (!paused && !part.stopped) play(part.video);
  };
  const settleAll = () => {
    for (const part of parts) {
      if (paused) part.video.pause();
      else settle(part);
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const part = parts.find((one) => one.video === entry.target);
      part.inView = entry.isIntersecting;
      settle(part);
    }
  }, { threshold: 0.4 });
  parts.forEach((part) => watcher.observe(part.video));

  const name = () => {
    all.textContent = paused ? "Play all clips" : "Pause all clips";
  };
  if (parts.length) {
    all.hidden = false;
    name();
    all.addEventListener("click", () => {
      paused = !paused;
      for (const part of parts) part.stopped = false;
      settleAll();
      name();
    });
    calm.addEventListener("change", () => {
      paused = calm.matches;
      settleAll();
      name();
    });
  }
})();
