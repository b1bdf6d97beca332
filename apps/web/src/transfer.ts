/** The second tab: one person's face with another's expression. */
import type { Engine } from "./engine";
import type { Manifest } from "./manifest";
import { megabytes } from "./models";
import {
  announce,
  button,
  canvas,
  complain,
  decoded,
  downloadPicture,
  drawingOf,
  element,
  explain,
  imageOf,
  made,
  PageError,
  sample,
} from "./page";
import type { Role } from "./protocol";
import type { Picture } from "./vision/pictures";

const ROLES: readonly Role[] = ["face", "expression"];

export class Transfer {
  private readonly amount = element("amount", HTMLInputElement);
  private readonly generator = element("generator", HTMLSelectElement);
  private readonly result = canvas("result");
  private readonly filled = new Set<Role>();
  private busy = false;
  private stale = false;

  constructor(
    manifest: Manifest,
    private readonly engine: Engine,
  ) {
    if (manifest.generators.length === 0) return;
    this.generator.replaceChildren(
      ...manifest.generators.map(({ name, title, bytes }) => {
        const option = made("option", "", `${title}, ${megabytes(bytes)}`);
        option.value = name;
        option.selected = name === manifest.generator;
        return option;
      }),
    );
    this.generator.disabled = false;
    this.generator.addEventListener("change", () => {
      this.draw();
    });
    this.amount.addEventListener("input", () => {
      element("amount-value", HTMLOutputElement).value = `${this.amount.value} %`;
      this.draw();
    });
    const file = element("slot-file", HTMLInputElement);
    let opened: Role = "face";
    file.addEventListener("change", () => {
      const chosen = file.files?.[0];
      if (chosen) this.attempt(opened, Promise.resolve(chosen), chosen.name);
      file.value = "";
    });
    for (const role of ROLES) {
      const open = document.querySelector<HTMLButtonElement>(`[data-open="${role}"]`)!;
      const take = document.querySelector<HTMLButtonElement>(`[data-sample="${role}"]`)!;
      open.disabled = take.disabled = false;
      open.addEventListener("click", () => {
        opened = role;
        file.click();
      });
      take.addEventListener("click", () => {
        this.attempt(role, sample(manifest.samples[role]), "The sample");
      });
    }
    button("result-png").addEventListener("click", () => {
      void downloadPicture(this.result, "kerasfer_transfer.png").catch(explain);
    });
  }

  /** Takes a file that was dropped on a place, or pasted: then it goes to the first empty place. */
  take(file: File, place: EventTarget | null): void {
    const over = ROLES.find((role) => place instanceof Node && document.getElementById(`slot-${role}`)!.contains(place));
    const role = over ?? ROLES.find((candidate) => !this.filled.has(candidate)) ?? "expression";
    if (!this.generator.disabled) this.attempt(role, Promise.resolve(file), file.name);
  }

  private attempt(role: Role, photo: Promise<Blob>, name: string): void {
    complain(null);
    photo.then((content) => this.fill(role, content, name)).catch(explain);
  }

  private async fill(role: Role, photo: Blob, name: string): Promise<void> {
    const bitmap = await decoded(photo, name);
    const aligned = await this.engine.call("keep", { role, bitmap }, [bitmap]);
    if (aligned === null) throw new PageError(`No face found in ${name}. Faces are found from the front.`);
    const slot = element(`slot-${role}`, HTMLElement);
    const target = slot.querySelector("canvas")!;
    put(target, aligned);
    target.setAttribute("aria-label", `The ${role}: ${name}, aligned`);
    slot.classList.add("filled");
    this.filled.add(role);
    announce(`The ${role} is there`);
    this.draw();
  }

  /** Draws anew; while one drawing is made, only the last wish waits. */
  private draw(): void {
    if (this.filled.size < ROLES.length) return;
    this.stale = true;
    if (!this.busy) void this.drawAll().catch(explain);
  }

  private async drawAll(): Promise<void> {
    this.busy = true;
    try {
      while (this.stale) {
        this.stale = false;
        const amount = Number(this.amount.value) / 100;
        const drawn = await this.engine.call("generate", { name: this.generator.value, amount });
        put(this.result, drawn);
        this.result.setAttribute("aria-label", `Generated: the face with ${this.amount.value} % of the expression`);
        this.result.parentElement!.classList.add("filled");
        this.amount.disabled = false;
        button("result-png").disabled = false;
      }
      announce("The result is drawn");
    } finally {
      this.busy = false;
    }
  }
}

/** Shows a picture in a canvas of its size. */
function put(target: HTMLCanvasElement, picture: Picture): void {
  [target.width, target.height] = [picture.width, picture.height];
  drawingOf(target).putImageData(imageOf(picture), 0, 0);
}
