/** Gives a network in a TFLite file another size of image, where it is convolutional throughout. */

/**
 * A copy of the file whose input, and whose outputs as far as they grow with it, have another shape.
 *
 * LiteRT.js compiles a file for the shapes that stand in it. Those between are found anew when it is compiled, so
 * only the ends are changed. Reads as much of the FlatBuffers format as that takes: in the schema of TFLite a Model has
 * its subgraphs as field 2, a SubGraph its tensors as field 0, inputs as 1 and outputs as 2, a Tensor its shape as 0.
 *
 * @param content a file with one input (1, h, w, c) and outputs (1, n, k).
 * @param count n for the new size.
 */
export function withImageSize(content: Uint8Array, height: number, width: number, count: number): Uint8Array {
  const copy = content.slice();
  const view = new DataView(copy.buffer);
  const target = (place: number): number => place + view.getUint32(place, true);
  const field = (table: number, index: number): number => {
    const layout = table - view.getInt32(table, true);
    return target(table + view.getUint16(layout + 4 + 2 * index, true));
  };
  const entries = (vector: number): number[] =>
    Array.from({ length: view.getUint32(vector, true) }, (_, index) => vector + 4 + 4 * index);

  const graph = target(entries(field(target(0), 2))[0]);
  const tensors = entries(field(graph, 0));
  const shapes = (index: number): number[][] =>
    entries(field(graph, index)).map((place) => entries(field(target(tensors[view.getInt32(place, true)]), 0)));
  for (const [, rows, columns] of shapes(1)) {
    view.setInt32(rows, height, true);
    view.setInt32(columns, width, true);
  }
  for (const [, rows] of shapes(2)) view.setInt32(rows, count, true);
  return copy;
}

/**
 * A copy of the file whose tensors have the shapes that stand in it, and no more dimensions that are open.
 *
 * LiteRT.js runs no network whose batch may be of any size. A Tensor's field 7, in the schema of TFLite, tells which
 * dimensions are open; its place in the tables' layouts is set to "not there".
 */
export function withFixedShapes(content: Uint8Array): Uint8Array {
  const copy = content.slice();
  const view = new DataView(copy.buffer);
  const target = (place: number): number => place + view.getUint32(place, true);
  const entry = (table: number, index: number): number => {
    const layout = table - view.getInt32(table, true);
    return 4 + 2 * index < view.getUint16(layout, true) ? layout + 4 + 2 * index : 0;
  };
  const vector = (table: number, index: number): number[] => {
    const start = target(table + view.getUint16(entry(table, index), true));
    return Array.from({ length: view.getUint32(start, true) }, (_, i) => target(start + 4 + 4 * i));
  };
  for (const graph of vector(target(0), 2)) {
    for (const tensor of vector(graph, 0)) {
      const place = entry(tensor, 7);
      if (place > 0) view.setUint16(place, 0, true);
    }
  }
  return copy;
}
