/** The course of one face's probabilities over the last seconds, as bands one above the other. */
import { canvas, colorOf, drawingOf, fitted, largest, percent } from "./page";

const SECONDS = 30;
/** Seconds without a face that break the bands. */
const GAP = 1.2;

interface Moment {
  readonly time: number;
  readonly probabilities: readonly number[];
}

export class Timeline {
  private readonly moments = new Map<number, Moment[]>();
  private readonly target = canvas("timeline");
  private described = -Infinity;

  forget(): void {
    this.moments.clear();
    this.described = -Infinity;
  }

  add(person: number, time: number, probabilities: readonly number[]): void {
    const course = (this.moments.get(person) ?? []).filter((moment) => moment.time > time - SECONDS && moment.time < time);
    course.push({ time, probabilities });
    this.moments.set(person, course);
  }

  draw(person: number | null, now: number, labels: readonly string[]): void {
    const drawing = drawingOf(this.target);
    const [width, height] = fitted(this.target);
    const style = getComputedStyle(this.target);
    const base = height - 18;
    drawing.clearRect(0, 0, width, height);
    drawing.font = `11px ${style.fontFamily}`;
    drawing.fillStyle = style.color;
    drawing.strokeStyle = style.borderBottomColor;
    for (let ago = 0; ago <= SECONDS; ago += 10) {
      const x = Math.min(Math.max(width * (1 - ago / SECONDS), 0.5), width - 0.5);
      drawing.beginPath();
      drawing.moveTo(x, 0);
      drawing.lineTo(x, base);
      drawing.stroke();
      drawing.textAlign = ago === 0 ? "right" : ago === SECONDS ? "left" : "center";
      drawing.fillText(ago === 0 ? "now" : `${ago} s ago`, x, height - 4);
    }
    const course = person === null ? [] : (this.moments.get(person) ?? []);
    for (const part of unbroken(course)) {
      const xs = part.map(({ time }) => width * (1 - (now - time) / SECONDS));
      let below = part.map(() => 0);
      labels.forEach((_, label) => {
        const above = part.map(({ probabilities }, i) => below[i] + probabilities[label]);
        drawing.beginPath();
        xs.forEach((x, i) => {
          drawing.lineTo(x, base * (1 - above[i]));
        });
        for (let i = xs.length - 1; i >= 0; i--) drawing.lineTo(xs[i], base * (1 - below[i]));
        drawing.fillStyle = colorOf(label);
        drawing.fill();
        below = above;
      });
    }
    if (now - this.described > 2 || now < this.described) {
      this.described = now;
      this.target.setAttribute("aria-label", summary(course, labels));
    }
  }
}

function unbroken(course: readonly Moment[]): Moment[][] {
  const parts: Moment[][] = [];
  course.forEach((moment, i) => {
    if (i === 0 || moment.time - course[i - 1].time > GAP) parts.push([]);
    parts.at(-1)!.push(moment);
  });
  return parts;
}

/** The shares of the moments in which each expression was the first, the largest three. */
function summary(course: readonly Moment[], labels: readonly string[]): string {
  if (course.length === 0) return "No course yet";
  const counts = labels.map(() => 0);
  for (const { probabilities } of course) counts[largest(probabilities)]++;
  const named = labels
    .map((label, i) => ({ label, share: counts[i] / course.length }))
    .filter(({ share }) => share > 0)
    .sort((one, other) => other.share - one.share)
    .slice(0, 3);
  return `Most shown in the last ${SECONDS} seconds: ${named.map(({ label, share }) => `${label} ${percent(share)}`).join(", ")}`;
}
