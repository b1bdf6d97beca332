/** The switch between the zoo's recognizers. */
import type { RecognizerEntry } from "./manifest";
import { element, made, percent } from "./page";

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Fills the switch. `choose` loads a model; if it fails, the choice goes back. */
export function offerModels(
  entries: readonly RecognizerEntry[],
  chosen: string,
  choose: (entry: RecognizerEntry) => Promise<boolean>,
): void {
  const group = element("models", HTMLElement);
  let current = chosen;
  const inputs = entries.map((entry) => {
    const input = made("input");
    input.type = "radio";
    input.name = "model";
    input.value = entry.name;
    input.checked = entry.name === chosen;
    input.addEventListener("change", () => {
      for (const other of inputs) other.disabled = true;
      void choose(entry).then((done) => {
        if (done) current = entry.name;
        for (const other of inputs) {
          other.disabled = false;
          other.checked = other.value === current;
        }
        input.focus();
      });
    });
    return input;
  });
  group.replaceChildren(
    ...entries.map((entry, index) => {
      const label = made("label", "model");
      const figures = made("span", "model-figures");
      figures.append(
        made("span", "", megabytes(entry.bytes)),
        made("span", "", entry.accuracy === null ? "–" : percent(entry.accuracy, 1)),
        made("span", "", entry.milliseconds === null ? "–" : `${entry.milliseconds.toFixed(1)} ms`),
      );
      label.append(inputs[index], made("span", "model-title", entry.title), figures);
      return label;
    }),
  );
  const notes = entries.map((entry) => {
    const told = [entry.accuracyOf, entry.millisecondsOf].filter((text) => text !== null);
    const about = `${entry.title}: ${entry.storage}, ${entry.image.size} × ${entry.image.size} pixels.`;
    return made("p", "", [about, ...told.map((text) => `${text}.`)].join(" "));
  });
  element("figures", HTMLElement).replaceChildren(
    made("p", "", "Size of the file, accuracy, and milliseconds for one aligned face outside a browser."),
    ...notes,
  );
}
