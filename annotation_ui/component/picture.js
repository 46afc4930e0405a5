// The image: fetched ahead, never the last text's beside this one, and asked for again when it does not come.

const LOADING_SHOWN_AFTER_MS = 300;
const RELOAD_AFTER_MS = 3000;

const picture = {
  preload(slot) {
    if (!slot.media || this.pictures.has(slot.media)) return;
    const image = new Image();
    image.src = this.pictureUrl(slot);
    this.pictures.set(slot.media, image);
    if (this.pictures.size > 30) this.pictures.delete(this.pictures.keys().next().value);
  },

  pictureUrl(slot) {
    return slot.media ? this.data.urls.image + encodeURIComponent(slot.media) : "";
  },

  showPicture(slot) {
    const url = this.pictureUrl(slot);
    this.$(".picture").hidden = !url;
    this.$(".large img").classList.remove("full");
    for (const image of this.images) image.alt = this.data.words.image_alt;
    if (url !== this.shownUrl) this.loadPicture(url);
  },

  loadPicture(url) {
    this.shownUrl = url;
    clearTimeout(this.pictureTimer);
    for (const image of this.images) {
      image.removeAttribute("src"); // a browser goes on showing the old image until the new one has come
      if (url) image.src = url;
    }
    if (url) this.pictureTimer = setTimeout(() => this.pictureState("loading"), LOADING_SHOWN_AFTER_MS);
  },

  pictureState(state) {
    clearTimeout(this.pictureTimer);
    this.$(".zoom").hidden = state === "failed";
    const told = this.$(".no-image");
    told.hidden = state === "shown";
    told.textContent = { failed: this.data.words.no_image, loading: this.data.words.image_loading }[state] ?? "";
    if (state === "failed") this.pictureTimer = setTimeout(() => this.reloadPicture(), RELOAD_AFTER_MS);
  },

  reloadPicture() {
    if (this.$(".zoom").hidden && this.queue.length > 0) this.loadPicture(this.shownUrl);
  },

  zoom() {
    if (this.draft?.slot.media && !this.$(".zoom").hidden) this.$(".large").showModal();
  },
};
