/** What was read, as a table: the columns of `apps/recognize.py --csv` that the page knows. */
import type { Box } from "./vision/boxes";
import { largest } from "./page";

/** Rows that are kept: an hour of one face at thirty frames a second. */
const MOST = 108_000;

interface Row {
  readonly source: string;
  readonly time: number;
  readonly person: number;
  readonly model: string;
  readonly box: Box;
  readonly probabilities: readonly number[];
}

export class Records {
  private rows: Row[] = [];

  get empty(): boolean {
    return this.rows.length === 0;
  }

  clear(): void {
    this.rows = [];
  }

  add(row: Row): void {
    this.rows.push(row);
    if (this.rows.length > MOST) this.rows.shift();
  }

  csv(labels: readonly string[]): string {
    const first = ["source", "time", "person", "model", "left", "top", "right", "bottom", "expression"];
    const header = [...first, ...labels.map((label) => quoted(first.includes(label) ? `class ${label}` : label))];
    const lines = this.rows.map(({ source, time, person, model, box, probabilities }) =>
      [
        `"${source.replaceAll('"', '""')}"`,
        time.toFixed(3),
        person,
        model,
        ...[box.left, box.top, box.right, box.bottom].map((side) => side.toFixed(1)),
        quoted(labels[largest(probabilities)]),
        ...probabilities.map((probability) => probability.toFixed(6)),
      ].join(","),
    );
    return [header.join(","), ...lines, ""].join("\n");
  }
}

/** A cell of a CSV file, in quotes where it has a comma or a quote in it. */
function quoted(text: string): string {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Averages each person's probabilities over time, with weights that fall by half in so many seconds. */
export class Smoother {
  private readonly last = new Map<number, { time: number; probabilities: readonly number[] }>();

  constructor(
    private readonly seconds: number,
    private readonly patience: number,
  ) {}

  forget(): void {
    this.last.clear();
  }

  update(person: number, time: number, probabilities: readonly number[]): readonly number[] {
    const before = this.last.get(person);
    let averaged = probabilities;
    if (before !== undefined && time >= before.time && time - before.time <= this.patience) {
      const kept = 0.5 ** ((time - before.time) / this.seconds);
      averaged = probabilities.map((value, i) => kept * before.probabilities[i] + (1 - kept) * value);
    }
    this.last.set(person, { time, probabilities: averaged });
    return averaged;
  }
}
