/** What each face expresses, said once a face, and the probabilities of the chosen one. */
import { element, largest, made, percent } from "./page";
import type { ReadFace } from "./protocol";

/** A probability below which the expressions not named are likelier, all together, than the one that is. */
const UNSURE = 0.5;

interface Bar {
  readonly row: HTMLElement;
  readonly fill: HTMLElement;
  readonly value: HTMLElement;
}

export class Bars {
  private bars: Bar[] = [];
  private labels: readonly string[] = [];

  /** Makes a bar for each label, all empty. */
  name(labels: readonly string[]): void {
    if (labels.join() === this.labels.join()) return;
    this.labels = labels;
    this.bars = labels.map((label) => {
      const row = made("li", "bar");
      const [track, fill] = scaleOf();
      const value = made("span", "value", "–");
      row.append(made("span", "label", label), track, value);
      return { row, fill, value };
    });
    element("bars", HTMLElement).replaceChildren(...this.bars.map(({ row }) => row));
  }

  show(probabilities: readonly number[] | null): void {
    const first = probabilities === null ? -1 : largest(probabilities);
    this.bars.forEach(({ row, fill, value }, index) => {
      const probability = probabilities?.[index] ?? 0;
      fill.style.transform = `scaleX(${probability.toFixed(4)})`;
      value.textContent = probabilities === null ? "–" : (100 * probability).toFixed(0);
      row.classList.toggle("first", index === first);
    });
  }
}

/** A scale with a bar on it: both parts. */
export function scaleOf(): [HTMLElement, HTMLElement] {
  const track = made("span", "track");
  const fill = made("span", "fill");
  track.append(fill);
  return [track, fill];
}

interface Statement {
  readonly number: number;
  readonly input: HTMLInputElement;
  readonly statement: HTMLElement;
  readonly chance: HTMLElement;
  readonly needle: HTMLElement;
  readonly unsure: HTMLElement;
}

/** The statements; of several faces one is chosen, whose probabilities are shown. */
export class Faces {
  chosen: number | null = null;
  private statements: Statement[] = [];
  private readonly group = element("faces", HTMLElement);

  constructor(private readonly changed: () => void) {}

  /** Chooses a face by its number. */
  choose(number: number): void {
    this.chosen = number;
    for (const { input, number: other } of this.statements) input.checked = other === number;
    this.changed();
  }

  /** Says what the faces express that are seen; keeps the choice as long as it is there. */
  show(faces: readonly ReadFace[], labels: readonly string[]): void {
    const numbers = faces.map(({ person }) => person);
    if (this.chosen === null || !numbers.includes(this.chosen)) this.chosen = numbers[0] ?? null;
    if (numbers.join() !== this.statements.map(({ number }) => number).join()) this.offer(numbers);
    element("answer", HTMLElement).classList.toggle("empty", faces.length === 0);
    this.statements.forEach(({ number, input, statement, chance, needle, unsure }, index) => {
      const { probabilities } = faces[index];
      const first = largest(probabilities);
      statement.textContent = labels[first];
      chance.textContent = percent(probabilities[first]);
      needle.style.setProperty("--share", probabilities[first].toFixed(4));
      unsure.hidden = probabilities[first] >= UNSURE;
      input.checked = number === this.chosen;
    });
  }

  private offer(numbers: readonly number[]): void {
    const several = numbers.length > 1;
    this.group.classList.toggle("one", !several);
    if (several) {
      this.group.setAttribute("role", "radiogroup");
      this.group.setAttribute("aria-label", "Face");
    } else {
      this.group.removeAttribute("role");
      this.group.removeAttribute("aria-label");
    }
    this.statements = numbers.map((number) => {
      const input = made("input");
      input.type = "radio";
      input.name = "person";
      input.addEventListener("change", () => {
        this.choose(number);
      });
      const gauge = made("span", "gauge");
      const needle = made("i");
      gauge.append(needle);
      gauge.ariaHidden = "true";
      const unsure = made("span", "unsure", "Not sure: the other expressions together are likelier.");
      return { number, input, statement: made("span", "statement"), chance: made("span", "chance"), needle, unsure };
    });
    this.group.replaceChildren(
      ...this.statements.map(({ number, input, statement, chance, needle, unsure }) => {
        const label = made("label", "face");
        label.append(input, made("span", "number", String(number)), statement, chance, needle.parentElement!, unsure);
        return label;
      }),
    );
  }
}
