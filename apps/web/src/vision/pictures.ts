/**
 * Resizing and warping, as `kerasfer.images` does them.
 *
 * OpenCV, which it takes, rounds here and there when it resizes. So does this: the networks in whole numbers answer a gray
 * level with a hundredth, and shall say here what they say there.
 */

/** A picture of any origin: four bytes a pixel, R, G, B and one that is not looked at. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** A transform (x, y) -> (a x + b y + c, d x + e y + f), as [a, b, c, d, e, f]. */
export type Matrix = readonly [number, number, number, number, number, number];

export type Point = readonly [number, number];

/** A black picture. */
export function blank(width: number, height: number): Picture {
  return { width, height, data: new Uint8ClampedArray(width * height * 4) };
}

/** Rounds halves to even, as numpy does. */
export function roundEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}

export function apply(matrix: Matrix, [x, y]: Point): Point {
  return [matrix[0] * x + matrix[1] * y + matrix[2], matrix[3] * x + matrix[4] * y + matrix[5]];
}

/** The transform the other way round. */
export function inverted([a, b, x, c, d, y]: Matrix): Matrix {
  const area = a * d - b * c;
  return [d / area, -b / area, (b * y - d * x) / area, -c / area, a / area, (c * x - a * y) / area];
}

/** Gray values, 0 to 255: the luma of ITU-R BT.601 in whole numbers. */
export function toGray({ width, height, data }: Picture): Uint8Array {
  const gray = new Uint8Array(width * height);
  for (let i = 0, p = 0; i < gray.length; i++, p += 4) {
    gray[i] = (data[p] * 19595 + data[p + 1] * 38470 + data[p + 2] * 7471 + 0x8000) >> 16;
  }
  return gray;
}

/**
 * Means of gray values in the cells of a grid, of every fourth pixel each way: enough to see that a scene changes.
 *
 * @param rows, columns of the grid.
 */
export function coarse({ width, height, data }: Picture, rows: number, columns: number): Float32Array {
  const sums = new Float32Array(rows * columns);
  const counts = new Float32Array(rows * columns);
  for (let y = 2; y < height; y += 4) {
    const row = Math.floor((y * rows) / height) * columns;
    for (let x = 2; x < width; x += 4) {
      const cell = row + Math.floor((x * columns) / width);
      const p = (y * width + x) * 4;
      sums[cell] += 0.299 * data[p] + 0.587 * data[p + 1] + 0.114 * data[p + 2];
      counts[cell]++;
    }
  }
  return sums.map((sum, cell) => sum / Math.max(counts[cell], 1));
}

/** Puts a part of one picture into another; what lies outside either is left out. */
export function paste(into: Picture, from: Picture, left: number, top: number): void {
  const first = Math.max(left, 0);
  const last = Math.min(left + from.width, into.width);
  for (let y = Math.max(top, 0); y < Math.min(top + from.height, into.height); y++) {
    const row = ((y - top) * from.width + first - left) * 4;
    into.data.set(from.data.subarray(row, row + (last - first) * 4), (y * into.width + first) * 4);
  }
}

/** Cuts out a rectangle that lies in the picture. */
function cut(picture: Picture, left: number, top: number, width: number, height: number): Picture {
  if (left === 0 && top === 0 && width === picture.width && height === picture.height) return picture;
  const part = blank(width, height);
  paste(part, picture, -left, -top);
  return part;
}

/** For each new place along an axis: the first old one that counts, and the weights from there on. */
interface Taps {
  readonly first: Int32Array;
  readonly count: number;
  readonly weights: Float32Array;
}

/** How much old places along an axis that shrinks count: by the length that a new one covers of them. */
function covered(length: number, size: number): Taps {
  const ratio = length / size;
  const count = Math.ceil(ratio) + 1;
  const first = Int32Array.from({ length: size }, (_, i) => Math.floor(i * ratio));
  const weights = Float32Array.from({ length: size * count }, (_, entry) => {
    const begin = Math.floor(entry / count) * ratio;
    const old = Math.floor(begin) + (entry % count);
    return old < length ? Math.max(Math.min(begin + ratio, old + 1) - Math.max(begin, old), 0) / ratio : 0;
  });
  return { first, count, weights };
}

/** Resizes: mean over the covered area along an axis that shrinks, then linear along one that grows. */
export function resize(picture: Picture, width: number, height: number): Picture {
  const smaller = shrunk(picture, Math.min(width, picture.width), Math.min(height, picture.height));
  return smaller.width === width && smaller.height === height ? smaller : grown(smaller, width, height);
}

// The loops below run once or twice before a first answer, when no compiler has seen them yet: so they are plain.

function shrunk(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  const { data } = picture;
  const { first, count, weights } = covered(picture.width, width);
  const down = covered(picture.height, height);
  // Storing rounds halves to even. OpenCV does so too, but where both sides are halved it rounds them up.
  const upwards = picture.width === 2 * width && picture.height === 2 * height ? 1e-3 : 0;
  const result = blank(width, height);
  const pixels = result.data;
  const line = new Float32Array(width * 3);
  const sums = new Float32Array(width * 3);
  let known = -1;
  for (let y = 0, out = 0; y < height; y++) {
    sums.fill(upwards);
    for (let k = 0; k < down.count; k++) {
      const share = down.weights[y * down.count + k];
      if (share === 0) continue;
      const row = down.first[y] + k;
      if (row !== known) {
        known = row;
        for (let x = 0, i = 0, tap = 0; x < width; x++, i += 3) {
          let red = 0;
          let green = 0;
          let blue = 0;
          for (let p = (row * picture.width + first[x]) * 4, end = p + 4 * count; p < end; p += 4, tap++) {
            const weight = weights[tap];
            if (weight === 0) continue;
            red += weight * data[p];
            green += weight * data[p + 1];
            blue += weight * data[p + 2];
          }
          line[i] = red;
          line[i + 1] = green;
          line[i + 2] = blue;
        }
      }
      for (let i = 0; i < sums.length; i++) sums[i] += share * line[i];
    }
    for (let i = 0; i < sums.length; i += 3, out += 4) {
      pixels[out] = sums[i];
      pixels[out + 1] = sums[i + 1];
      pixels[out + 2] = sums[i + 2];
      pixels[out + 3] = 255;
    }
  }
  return result;
}

/** For each new place along an axis that grows: the two old ones between, and their weights in 2048ths. */
function between(length: number, size: number): readonly (readonly [number, number, number, number])[] {
  return Array.from({ length: size }, (_, i) => {
    const place = clamp(((i + 0.5) * length) / size - 0.5, 0, length - 1);
    const first = Math.floor(place);
    const weight = place - first;
    return [first, Math.min(first + 1, length - 1), roundEven((1 - weight) * 2048), roundEven(weight * 2048)];
  });
}

function grown({ width: oldWidth, height: oldHeight, data }: Picture, width: number, height: number): Picture {
  const across = between(oldWidth, width);
  const result = blank(width, height);
  const pixels = result.data;
  let out = 0;
  for (const [top, bottom, upper, lower] of between(oldHeight, height)) {
    const above = top * oldWidth * 4;
    const under = bottom * oldWidth * 4;
    for (const [left, right, near, far] of across) {
      const [first, last] = [4 * left, 4 * right];
      for (let k = 0; k < 3; k++) {
        const high = (data[above + first + k] * near + data[above + last + k] * far) >> 4;
        const low = (data[under + first + k] * near + data[under + last + k] * far) >> 4;
        pixels[out + k] = (((upper * high) >> 16) + ((lower * low) >> 16) + 2) >> 2;
      }
      pixels[out + 3] = 255;
      out += 4;
    }
  }
  return result;
}

/**
 * Samples a picture along a similarity transform; where it leaves the picture, the edge pixels repeat.
 *
 * When the picture shrinks, the region is first reduced by area means, so that nothing aliases. Coordinates count from
 * the upper left corner of the upper left pixel.
 *
 * @param matrix takes places in the result to places in the picture.
 */
export function warp(picture: Picture, matrix: Matrix, size: number): Picture {
  const step = Math.sqrt(Math.abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]));
  const margin = Math.ceil(step) + 2;
  const corners = [apply(matrix, [0, 0]), apply(matrix, [size, 0]), apply(matrix, [0, size]), apply(matrix, [size, size])];
  const limits = [picture.width, picture.height];
  const first = [0, 0];
  const length = [0, 0];
  const reduced = [0, 0];
  for (const axis of [0, 1] as const) {
    const places = corners.map((corner) => corner[axis]);
    first[axis] = clamp(Math.floor(Math.min(...places) - margin), 0, limits[axis] - 1);
    const last = clamp(Math.ceil(Math.max(...places) + margin), first[axis] + 1, limits[axis]);
    length[axis] = last - first[axis];
    reduced[axis] = step > 1 ? Math.max(roundEven(length[axis] / step), 1) : length[axis];
  }
  const region = resize(cut(picture, first[0], first[1], length[0], length[1]), reduced[0], reduced[1]);
  const [across, down] = [reduced[0] / length[0], reduced[1] / length[1]];
  const [a, b, c] = [matrix[0] * across, matrix[1] * across, (matrix[2] - first[0]) * across];
  const [d, e, f] = [matrix[3] * down, matrix[4] * down, (matrix[5] - first[1]) * down];
  return sampled(region, [a, b, (a + b) / 2 + c - 0.5, d, e, (d + e) / 2 + f - 0.5], size);
}

/**
 * Samples a picture along a transform as MediaPipe does: bilinear, without a reduction before.
 *
 * @param matrix takes places in the result to places in the picture, both counted in whole pixels.
 * @param black whether what lies beyond the picture is black; else its edge pixels repeat.
 */
export function sampledAtCorners({ width, height, data }: Picture, matrix: Matrix, size: number, black: boolean): Picture {
  const result = blank(size, size);
  for (let row = 0, out = 0; row < size; row++) {
    for (let column = 0; column < size; column++, out += 4) {
      const [x, y] = apply(matrix, [column, row]);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [far, low] = [x - left, y - top];
      for (const [across, down, weight] of [
        [left, top, (1 - far) * (1 - low)],
        [left + 1, top, far * (1 - low)],
        [left, top + 1, (1 - far) * low],
        [left + 1, top + 1, far * low],
      ]) {
        if (black && (across < 0 || across >= width || down < 0 || down >= height)) continue;
        const place = (clamp(down, 0, height - 1) * width + clamp(across, 0, width - 1)) * 4;
        for (let k = 0; k < 3; k++) sums[k] += weight * data[place + k];
      }
      for (let k = 0; k < 3; k++) {
        result.data[out + k] = sums[k]; // storing rounds
        sums[k] = 0;
      }
      result.data[out + 3] = 255;
    }
  }
  return result;
}

const sums = [0, 0, 0];

/** Bilinear samples at places counted from the middle of the upper left pixel. */
function sampled({ width, height, data }: Picture, [a, b, c, d, e, f]: Matrix, size: number): Picture {
  const result = blank(size, size);
  const pixels = result.data;
  const [lastX, lastY] = [width - 1, height - 1];
  for (let row = 0, out = 0; row < size; row++) {
    for (let column = 0; column < size; column++, out += 4) {
      const x = a * column + b * row + c;
      const y = d * column + e * row + f;
      const firstX = Math.floor(x);
      const firstY = Math.floor(y);
      const far = x - firstX;
      const low = y - firstY;
      const left = firstX < 0 ? 0 : firstX > lastX ? lastX : firstX;
      const right = firstX < -1 ? 0 : firstX >= lastX ? lastX : firstX + 1;
      const top = (firstY < 0 ? 0 : firstY > lastY ? lastY : firstY) * width;
      const bottom = (firstY < -1 ? 0 : firstY >= lastY ? lastY : firstY + 1) * width;
      const one = 4 * (top + left);
      const two = 4 * (top + right);
      const three = 4 * (bottom + left);
      const four = 4 * (bottom + right);
      for (let k = 0; k < 3; k++) {
        const above = data[one + k] * (1 - far) + data[two + k] * far;
        const under = data[three + k] * (1 - far) + data[four + k] * far;
        pixels[out + k] = above * (1 - low) + under * low; // storing rounds
      }
      pixels[out + 3] = 255;
    }
  }
  return result;
}

/** What each gray level stands for in a network's range: value * scale + shift. */
export function levels(scale: number, shift: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 256 }, (_, value) => value * scale + shift);
}

/** The colors of a picture, three values a pixel, as a network takes them. */
export function toColors({ data }: Picture, levelsOf: Float32Array): Float32Array<ArrayBuffer> {
  const colors = new Float32Array((data.length / 4) * 3);
  for (let i = 0, p = 0; i < colors.length; i += 3, p += 4) {
    colors[i] = levelsOf[data[p]];
    colors[i + 1] = levelsOf[data[p + 1]];
    colors[i + 2] = levelsOf[data[p + 2]];
  }
  return colors;
}
