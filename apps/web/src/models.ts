/** The switch between the zoo's recognizers. */
import type { PriorName, RecognizerEntry } from "./manifest";
import { element, made } from "./page";

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The priors that a model can answer for, by name; "" is that of its training. */
const PRIORS: readonly (readonly [PriorName | "", string])[] = [
  ["", "as frequent as in the model's training"],
  ["balanced", "all equally frequent"],
  ["ferplus", "as frequent as in FER+"],
];

/** The prior that is chosen, as far as a model can answer for it; null: that of its training. */
export function chosenPrior({ priors }: RecognizerEntry): PriorName | null {
  const chosen = element("prior", HTMLSelectElement).value as PriorName | "";
  return chosen !== "" && priors[chosen] !== undefined ? chosen : null;
}

/** Offers the priors of a model. */
export function offerPriors({ priors }: RecognizerEntry, holds: PriorName | null): void {
  const offered = PRIORS.filter(([name]) => name === "" || priors[name] !== undefined);
  element("prior", HTMLSelectElement).replaceChildren(
    ...offered.map(([name, text]) => {
      const option = made("option", "", text);
      option.value = name;
      option.selected = name === (holds ?? "");
      return option;
    }),
  );
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
        figure("file", (entry.bytes / 1e6).toFixed(1), "MB"),
        figure("right on FER+ valid", entry.accuracy === null ? null : (100 * entry.accuracy).toFixed(1), "%"),
        figure("one face", entry.milliseconds?.toFixed(1) ?? null, "ms"),
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
    made("p", "", "Milliseconds are those of one aligned face outside a browser, on the machine that measured them."),
    ...notes,
  );
}

/** A figure of the table, whose meaning and unit stand in its head; who listens hears them with it. */
function figure(meaning: string, value: string | null, unit: string): HTMLElement {
  const cell = made("span");
  cell.append(
    made("span", "unseen", `, ${meaning} `),
    value ?? "–",
    ...(value === null ? [] : [made("span", "unseen", ` ${unit}`)]),
  );
  return cell;
}
