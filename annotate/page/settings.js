// The settings sheet: language, colours, keys, and a word about breaks.

import { EVERY, breakEvery, remindEvery } from "./breaks.js";
import { dialog, fill, h } from "./dom.js";
import { lang, plural, t } from "./words.js";

/** Open it; `shell` knows how to change language and colours and to show the keys. */
export function showSettings(shell) {
  /** A line of buttons of which one is on. They are no radio buttons: a choice acts at once. */
  function choice(part, title, options, current, pick, hint = null) {
    const id = `set-${part}`;
    const buttons = h("div", { class: "segments", role: "group", "aria-labelledby": id });
    const draw = () => {
      const place = [...buttons.children].indexOf(document.activeElement);
      fill(
        buttons,
        options.map(([value, label, language]) =>
          h("button", { type: "button", lang: language ?? null, "aria-pressed": String(value === current()), on: { click: () => (value === current() ? null : pick(value), draw()) } }, label),
        ),
      );
      buttons.children[place]?.focus();
    };
    draw();
    return h("div", { class: "setting" }, h("p", { class: "setting-name", id }, title), buttons, hint && h("p", { class: "hint" }, hint));
  }

  const dark = () => document.body.classList.contains("dark");
  dialog(
    t("settings"),
    t("close"),
    choice("language", t("language"), [["en", "English", "en"], ["zh", "中文", "zh"]], () => lang, shell.speak, t("language_lead")),
    choice("colours", t("colours"), [[false, t("light")], [true, t("dark")]], dark, shell.darken),
    choice("breaks", t("breaks"), [[0, t("breaks_off")], ...EVERY.map((n) => [n, plural("minutes", n)])], breakEvery, remindEvery, t("breaks_lead")),
    h("div", { class: "setting for-keyboards" }, h("p", { class: "setting-name" }, t("keys")), h("div", {}, h("button", { type: "button", class: "outlined", on: { click: () => shell.showKeys() } }, t("keys_open"))), h("p", { class: "hint" }, t("keys_setting_lead"))),
  );
}
