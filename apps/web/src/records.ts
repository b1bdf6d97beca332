/** What was read, as a table: the columns of `apps/recognize.py --csv` that the page knows. */
import type { Box } from "./vision/boxes";
import type { Manifest } from "./manifest";
import { largest } from "./page";
import type { Movement } from "./protocol";

/** Rows that are kept: an hour of one face at thirty frames a second. */
const MOST = 108_000;

interface Row {
  readonly source: string;
  readonly time: number;
  readonly person: number;
  readonly model: string;
  readonly box: Box;
  readonly probabilities: readonly number[];
  readonly movement: Movement | null;
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

  /** The table; with action units and blendshapes where some row has them. */
  csv(labels: readonly string[], { units, blendshapes }: Manifest): string {
    const first = ["source", "time", "person", "model", "left", "top", "right", "bottom", "expression"];
    const header = [...first, ...labels.map((label) => quoted(first.includes(label) ? `class ${label}` : label))];
    const moving = this.rows.some(({ movement }) => movement !== null);
    const graded = units.entries.flatMap(({ intensity }, index) => (intensity ? [index] : []));
    const sided = units.entries.flatMap(({ sides }, index) => (sides ? [index] : []));
    const named = (indices: readonly number[], what: string): string[] =>
      indices.map((index) => `AU${units.entries[index].number}_${what}`);
    if (moving) {
      header.push(...units.entries.map(({ number }) => `AU${number}`));
      header.push(...named(graded, "intensity"), ...named(sided, "left"), ...named(sided, "right"), ...blendshapes.names);
    }
    const cell = (value: number | null | undefined): string => value?.toFixed(6) ?? "";
    const cells = (movement: Movement | null): string[] => [
      ...units.entries.map((_, index) => cell(movement?.units[index].probability)),
      ...graded.map((index) => cell(movement?.units[index].intensity)),
      ...[0, 1].flatMap((side) => sided.map((index) => cell(movement?.units[index].sides?.[side]))),
      ...blendshapes.names.map((_, index) => cell(movement?.shapes?.[index])),
    ];
    const lines = this.rows.map(({ source, time, person, model, box, probabilities, movement }) =>
      [
        `"${source.replaceAll('"', '""')}"`,
        time.toFixed(3),
        person,
        model,
        ...[box.left, box.top, box.right, box.bottom].map((side) => side.toFixed(1)),
        quoted(labels[largest(probabilities)]),
        ...probabilities.map((probability) => probability.toFixed(6)),
        ...(moving ? cells(movement) : []),
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
