/** The probabilities of one face as bars, and the choice of the face. */
import { colorOf, element, largest, made, percent } from "./page";

interface Bar {
  readonly row: HTMLElement;
  readonly fill: HTMLElement;
  readonly value: HTMLElement;
}

export class Bars {
  private bars: Bar[] = [];
  private labels: readonly string[] = [];
  private readonly top = element("top", HTMLElement);

  /** Makes a bar for each label, all empty. */
  name(labels: readonly string[]): void {
    if (labels.join() === this.labels.join()) return;
    this.labels = labels;
    this.bars = labels.map((label, index) => {
      const row = made("li", "bar");
      const track = made("span", "track");
      const fill = made("span", "fill");
      const value = made("span", "value", "–");
      row.style.setProperty("--color", colorOf(index));
      track.append(fill);
      row.append(made("span", "label", label), track, value);
      return { row, fill, value };
    });
    element("bars", HTMLElement).replaceChildren(...this.bars.map(({ row }) => row));
  }

  show(probabilities: readonly number[] | null): void {
    const first = probabilities === null ? -1 : largest(probabilities);
    this.top.textContent = first < 0 ? "" : this.labels[first];
    this.bars.forEach(({ row, fill, value }, index) => {
      const probability = probabilities?.[index] ?? 0;
      fill.style.transform = `scaleX(${probability.toFixed(4)})`;
      value.textContent = probabilities === null ? "–" : percent(probability);
      row.classList.toggle("first", index === first);
    });
  }
}

/** Buttons to choose one of several faces. */
export class People {
  chosen: number | null = null;
  private numbers: readonly number[] = [];
  private readonly group = element("people", HTMLElement);

  constructor(private readonly changed: () => void) {}

  /** Offers the people that are seen; keeps the choice as long as it is there. */
  show(numbers: readonly number[]): void {
    if (this.chosen === null || !numbers.includes(this.chosen)) this.chosen = numbers[0] ?? null;
    if (numbers.join() === this.numbers.join()) return;
    this.numbers = numbers;
    this.group.hidden = numbers.length < 2;
    this.group.replaceChildren(
      ...numbers.map((number) => {
        const label = made("label", "chip", `Face ${number}`);
        const input = made("input");
        input.type = "radio";
        input.name = "person";
        input.checked = number === this.chosen;
        input.addEventListener("change", () => {
          this.chosen = number;
          this.changed();
        });
        label.prepend(input);
        return label;
      }),
    );
  }
}
