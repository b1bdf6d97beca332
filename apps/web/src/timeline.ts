/** The course of one face's probabilities over the last seconds, a lane for each expression. */
import { canvas, drawingOf, fitted, largest, percent } from "./page";

const SECONDS = 30;
/** Seconds without a face that break the course. */
const GAP = 1.2;
/** Pixels that the expressions' names take, before their lanes. */
const NAMES = 84;
/** Probability below which nothing is drawn. */
const LEAST = 0.01;

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

  /** Draws a lane for each expression, as a chart recorder does: its probability rises from the lane's ground. */
  draw(person: number | null, now: number, labels: readonly string[]): void {
    if (this.target.clientWidth === 0) return;
    const drawing = drawingOf(this.target);
    const [width, height] = fitted(this.target);
    const style = getComputedStyle(this.target);
    const base = height - 20;
    const begin = NAMES;
    const lane = base / labels.length;
    drawing.clearRect(0, 0, width, height);
    drawing.font = `12px ${style.fontFamily}`;
    drawing.fillStyle = style.color;
    drawing.strokeStyle = style.borderBottomColor;
    drawing.lineWidth = 1;
    drawing.textBaseline = "alphabetic";
    drawing.textAlign = "left";
    drawing.beginPath();
    labels.forEach((label, index) => {
      const ground = Math.round((index + 1) * lane) - 0.5;
      drawing.fillText(label, 0, ground - 5, begin - 8);
      drawing.moveTo(0, ground);
      drawing.lineTo(width, ground);
    });
    for (let ago = 0; ago <= SECONDS; ago += 10) {
      const x = Math.round(begin + (width - begin) * (1 - ago / SECONDS)) - 0.5;
      drawing.moveTo(x, 0);
      drawing.lineTo(x, base + 4);
      drawing.textAlign = ago === 0 ? "right" : ago === SECONDS ? "left" : "center";
      drawing.fillText(ago === 0 ? "now" : `${ago} s ago`, x, height - 3);
    }
    drawing.stroke();
    const course = person === null ? [] : (this.moments.get(person) ?? []);
    for (const part of unbroken(course)) {
      const xs = part.map(({ time }) => begin + (width - begin) * (1 - (now - time) / SECONDS));
      labels.forEach((_, label) => {
        const ground = Math.round((label + 1) * lane) - 1;
        const most = Math.max(...part.map(({ probabilities }) => probabilities[label]));
        if (most < LEAST) return;
        drawing.beginPath();
        drawing.moveTo(xs[0], ground);
        part.forEach(({ probabilities }, i) => {
          drawing.lineTo(xs[i], ground - (lane - 3) * probabilities[label]);
        });
        // A moment alone is seen, too.
        const end = xs[xs.length - 1] + 2;
        drawing.lineTo(end, ground - (lane - 3) * part[part.length - 1].probabilities[label]);
        drawing.lineTo(end, ground);
        drawing.fillStyle = style.outlineColor;
        drawing.fill();
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
