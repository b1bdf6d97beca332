/** FACS action units of movements and expressions, as `kerasfer.units` weighs them. */
import type { UnitEntry, UnitSettings } from "../manifest";
import type { Movements } from "./movements";
import { clamp } from "./pictures";

export interface UnitAnswer {
  /** How likely the unit is in the face, 0 to 1. */
  readonly probability: number;
  /** How strong, 0 to 5; null where the movements do not tell. */
  readonly intensity: number | null;
  /** The movements of the person's left and right, 0 to 1; null where they are not told apart. */
  readonly sides: readonly [number, number] | null;
}

type Vector = readonly number[];

/**
 * The action units of one face, in the order of the settings.
 *
 * @param movements null where they are not known, which leaves what the expression implies.
 * @param probabilities of the expressions.
 * @param shares for each unit the share of people who show it, for each of the expressions.
 */
export function unitsOf(
  settings: UnitSettings,
  movements: Movements | null,
  probabilities: readonly number[],
  shares: readonly (readonly number[])[],
): UnitAnswer[] {
  const { steepness, middle, farthest, entries } = settings;
  const logistic = (value: number): number => 1 / (1 + Math.exp(-steepness * (value - middle)));
  const measures = movements && measured(settings, movements).map((value) => clamp(value, -farthest, farthest));
  return entries.map((entry, index) => {
    const implied = clamp(dot(shares[index], probabilities), 0, 1);
    if (movements === null || measures === null) return { probability: implied, intensity: null, sides: null };
    const { scores } = movements;
    const sum = summed(scores, entry, null);
    return {
      probability: entry.weight * logistic(sum + dot(entry.measured, measures)) + (1 - entry.weight) * implied,
      intensity: entry.intensity ? 5 * clamp(sum, 0, 1) : null,
      sides: entry.sides ? [logistic(summed(scores, entry, 0)), logistic(summed(scores, entry, 1))] : null,
    };
  });
}

function summed(scores: readonly number[], { moved }: UnitEntry, side: 0 | 1 | null): number {
  return moved.reduce((total, { places, factor }) => {
    const chosen = side === null || places.length === 1 ? places : [places[side]];
    return total + (factor * chosen.reduce((sum, place) => sum + scores[place], 0)) / chosen.length;
  }, 0);
}

/** Distances and heights of the points, in standard deviations from the mean of neutral faces. */
function measured({ corners, axis, measures }: UnitSettings, { points, depths }: Movements): number[] {
  const at = (index: number): Vector => [...points[index], depths[index]];
  const middle = (indices: readonly number[]): Vector => scaled(indices.map(at).reduce(plus), 1 / indices.length);
  const line = minus(at(corners[1]), at(corners[0]));
  const unit = Math.hypot(...line);
  const across = scaled(line, 1 / unit);
  const leaning = minus(at(axis[1]), at(axis[0]));
  const upright = minus(leaning, scaled(across, dot(leaning, across)));
  const up = scaled(upright, 1 / Math.hypot(...upright));
  return measures.map(({ mean, spread, between, these, others }) => {
    const value =
      between.length > 0
        ? between.reduce((sum, [first, second]) => sum + Math.hypot(...minus(at(first), at(second))), 0) / between.length
        : dot(minus(middle(these), middle(others)), up);
    return (value / unit - mean) / spread;
  });
}

function dot(one: Vector, other: Vector): number {
  return one.reduce((sum, value, i) => sum + value * other[i], 0);
}

function plus(one: Vector, other: Vector): Vector {
  return one.map((value, i) => value + other[i]);
}

function minus(one: Vector, other: Vector): Vector {
  return one.map((value, i) => value - other[i]);
}

function scaled(vector: Vector, factor: number): Vector {
  return vector.map((value) => value * factor);
}
