/** A rectangle in pixels, x to the right, y down. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export function area(box: Box): number {
  return Math.max(box.right - box.left, 0) * Math.max(box.bottom - box.top, 0);
}

export function longerSide(box: Box): number {
  return Math.max(box.right - box.left, box.bottom - box.top);
}

export function center(box: Box): [number, number] {
  return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
}

export function shared(one: Box, other: Box): number {
  return area({
    left: Math.max(one.left, other.left),
    top: Math.max(one.top, other.top),
    right: Math.min(one.right, other.right),
    bottom: Math.min(one.bottom, other.bottom),
  });
}

/** Intersection over union, 0 to 1. */
export function overlap(one: Box, other: Box): number {
  const both = shared(one, other);
  const union = area(one) + area(other) - both;
  return union > 0 ? both / union : 0;
}
