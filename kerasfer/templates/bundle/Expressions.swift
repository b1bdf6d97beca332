// Facial expressions in a picture, on iOS and macOS; made by kerasfer for the recognizer $file.
// Needs the pod TensorFlowLiteSwift and, in the app's bundle, the two networks that it opens.

import CoreGraphics
import Foundation
import TensorFlowLite

final class Expressions {
    let detector = try! Expressions.open("face_detection_short_range")
    let recognizer = try! Expressions.open("$stem")
    let labels = [$swift_labels]

    static func open(_ name: String) throws -> Interpreter {
        let network = try Interpreter(modelPath: Bundle.main.path(forResource: name, ofType: "tflite")!)
        try network.allocateTensors()
        return network
    }

    func floats(_ tensor: Tensor) -> [Float] { tensor.data.withUnsafeBytes { Array($$0.bindMemory(to: Float.self)) } }

    /// RGBA bytes of a picture drawn into a square, rows from the top; `place` is in coordinates that grow downwards.
    func draw(_ picture: CGImage, side: Int, place: CGAffineTransform) -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: side * side * 4)
        pixels.withUnsafeMutableBytes { bytes in
            let context = CGContext(data: bytes.baseAddress, width: side, height: side, bitsPerComponent: 8,
                                    bytesPerRow: side * 4, space: CGColorSpaceCreateDeviceRGB(),
                                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
            context.interpolationQuality = .high
            context.concatenate(CGAffineTransform(a: 1, b: 0, c: 0, d: -1, tx: 0, ty: CGFloat(side)))
            context.concatenate(place)
            context.concatenate(CGAffineTransform(a: 1, b: 0, c: 0, d: -1, tx: 0, ty: CGFloat(picture.height)))
            context.draw(picture, in: CGRect(x: 0, y: 0, width: picture.width, height: picture.height))
        }
        return pixels
    }

    /// The surest face: its box, and right eye, left eye, nose and mouth, in pixels of the picture; nil if there is none.
    func find(_ picture: CGImage) throws -> (box: CGRect, points: [CGPoint])? {
        let scale = 128 / CGFloat(max(picture.width, picture.height))
        let left = (128 - CGFloat(picture.width) * scale) / 2, top = (128 - CGFloat(picture.height) * scale) / 2
        let fit = CGAffineTransform(a: scale, b: 0, c: 0, d: scale, tx: left, ty: top)
        let pixels = draw(picture, side: 128, place: fit)
        var input = [Float]()
        for i in stride(from: 0, to: pixels.count, by: 4) {
            for c in 0..<3 { input.append(Float(pixels[i + c]) / 127.5 - 1) }
        }
        try detector.copy(input.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try detector.invoke()
        let values = floats(try detector.output(at: 0)), scores = floats(try detector.output(at: 1))
        let best = scores.indices.max { scores[$$0] < scores[$$1] }!
        if scores[best] < 0 { return nil }  // a score of one half
        let (cell, cells) = best < 512 ? (best / 2, 16) : ((best - 512) / 6, 8)
        let x = (Float(cell % cells) + 0.5) / Float(cells) * 128, y = (Float(cell / cells) + 0.5) / Float(cells) * 128
        func place(_ at: Int) -> CGPoint {
            CGPoint(x: (CGFloat(values[at] + x) - left) / scale, y: (CGFloat(values[at + 1] + y) - top) / scale)
        }
        let center = place(16 * best)
        let size = CGSize(width: CGFloat(values[16 * best + 2]) / scale, height: CGFloat(values[16 * best + 3]) / scale)
        let corner = CGPoint(x: center.x - size.width / 2, y: center.y - size.height / 2)
        return (CGRect(origin: corner, size: size), (0..<4).map { place(16 * best + 4 + 2 * $$0) })
    }

    /// The similarity transform that brings points nearest to others.
    func similarity(_ from: [CGPoint], _ to: [CGPoint]) -> CGAffineTransform {
        func mean(_ p: [CGPoint]) -> CGPoint {
            CGPoint(x: p.map(\.x).reduce(0, +) / CGFloat(p.count), y: p.map(\.y).reduce(0, +) / CGFloat(p.count))
        }
        let f = mean(from), t = mean(to)
        var size: CGFloat = 0, cosine: CGFloat = 0, sine: CGFloat = 0
        for (p, q) in zip(from, to) {
            let x = p.x - f.x, y = p.y - f.y, u = q.x - t.x, v = q.y - t.y
            size += x * x + y * y; cosine += x * u + y * v; sine += x * v - y * u
        }
        let c = cosine / size, s = sine / size
        return CGAffineTransform(a: c, b: s, c: -s, d: c, tx: t.x - c * f.x + s * f.y, ty: t.y - s * f.x - c * f.y)
    }

    /// Probabilities in the order of the labels; nil if there is no face.
    func recognize(_ picture: CGImage) throws -> [Float]? {
        guard let found = try find(picture) else { return nil }
        return try recognize(picture, found.points)
    }

    /// The same of a face whose points `find` gives.
    func recognize(_ picture: CGImage, _ from: [CGPoint]) throws -> [Float] {
        let target: [CGFloat] = [$target]
        let to = stride(from: 0, to: 8, by: 2).map { CGPoint(x: target[$$0], y: target[$$0 + 1]) }
        let pixels = draw(picture, side: $size, place: similarity(from, to))
        var input = [$swift_type]()
        for i in stride(from: 0, to: pixels.count, by: 4) {
            let red = Double(pixels[i]), green = Double(pixels[i + 1]), blue = Double(pixels[i + 2])
            input += $swift_put
        }
        try recognizer.copy(input.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try recognizer.invoke()
        let answer = try recognizer.output(at: 0)
        return $swift_probabilities
    }
}
