/** Action units and blendshapes of the chosen face. */
import { scaleOf } from "./bars";
import type { Manifest, UnitEntry } from "./manifest";
import { element, made } from "./page";
import type { Movement } from "./protocol";

/** From this probability on a unit counts as present. */
const PRESENT = 0.5;

interface Row {
  readonly row: HTMLElement;
  readonly fill: HTMLElement;
  readonly chance: HTMLElement;
  readonly intensity: HTMLElement;
  readonly left: HTMLElement;
  readonly right: HTMLElement;
}

export class MovementTable {
  private readonly rows: readonly Row[];
  private readonly shapes: readonly HTMLElement[];

  constructor({ units, blendshapes }: Manifest) {
    this.rows = units.entries.map((entry) => rowOf(entry));
    element("unit-rows", HTMLElement).replaceChildren(...this.rows.map(({ row }) => row));
    this.shapes = blendshapes.names.map(() => made("span", "", "–"));
    element("shapes", HTMLElement).replaceChildren(
      ...blendshapes.names.map((name, index) => {
        const line = made("li");
        line.append(made("span", "", name), this.shapes[index]);
        return line;
      }),
    );
  }

  show(movement: Movement | null): void {
    this.rows.forEach(({ row, fill, chance, intensity, left, right }, index) => {
      const unit = movement?.units[index];
      row.classList.toggle("present", (unit?.probability ?? 0) >= PRESENT);
      fill.style.transform = `scaleX(${(unit?.probability ?? 0).toFixed(4)})`;
      chance.textContent = unit ? (100 * unit.probability).toFixed(0) : "–";
      intensity.textContent = unit?.intensity?.toFixed(1) ?? "";
      left.textContent = unit?.sides ? (100 * unit.sides[0]).toFixed(0) : "";
      right.textContent = unit?.sides ? (100 * unit.sides[1]).toFixed(0) : "";
    });
    this.shapes.forEach((cell, index) => {
      cell.textContent = movement?.shapes?.[index].toFixed(2) ?? "–";
    });
  }
}

function rowOf({ number, name }: UnitEntry): Row {
  const row = made("tr");
  const head = made("th", "", `AU${number}`);
  head.scope = "row";
  const cell = made("td", "chance-cell");
  const place = made("div");
  const [scale, fill] = scaleOf();
  const chance = made("span", "", "–");
  place.append(scale, chance);
  cell.append(place);
  const [intensity, left, right] = ["intensity", "left", "right"].map((what) => {
    const told = made("td");
    told.dataset.what = what;
    return told;
  });
  row.append(head, made("td", "", name), cell, intensity, left, right);
  return { row, fill, chance, intensity, left, right };
}
