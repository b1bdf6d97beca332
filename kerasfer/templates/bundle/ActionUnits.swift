// FACS action units of the face in a picture, on iOS and macOS; made by kerasfer for the recognizer $file.
// Needs, in the app's bundle, the two networks that it opens and units.json, and Expressions.swift beside it.

import CoreGraphics
import Foundation
import TensorFlowLite
import simd

/// Probability 0 to 1; intensity 0 to 5, and the person's left and right 0 to 1, where they are known.
struct ActionUnit {
    let number: Int, name: String, probability: Double, intensity: Double?, left: Double?, right: Double?
}

/// How units are told of movements and expressions: units.json.
struct UnitRules: Decodable {
    struct Part: Decodable { let places: [Int], factor: Double }
    struct Measure: Decodable { let mean: Double, spread: Double, between: [[Int]], these: [Int], others: [Int] }
    struct Unit: Decodable {
        let number: Int, name: String, weight: Double, moved: [Part], measured: [Double], shares: [Double]
        let sides: Bool, intensity: Bool
    }
    let seen: [Int], corners: [Int], axis: [Int], middle: Double, steepness: Double, farthest: Double
    let measures: [Measure], units: [Unit]

    func likely(_ sum: Double) -> Double { 1 / (1 + exp(-steepness * (sum - middle))) }

    /// Distances and heights of 478 points, in standard deviations from neutral faces.
    func measure(_ points: [SIMD3<Double>]) -> [Double] {
        func mean(_ places: [Int]) -> SIMD3<Double> {
            places.map { points[$$0] }.reduce(.zero, +) / Double(places.count)
        }
        let line = points[corners[1]] - points[corners[0]], unit = simd_length(line), across = line / unit
        let leaning = points[axis[1]] - points[axis[0]]
        let up = simd_normalize(leaning - simd_dot(leaning, across) * across)
        return measures.map { measure in
            let distances = measure.between.map { simd_distance(points[$$0[0]], points[$$0[1]]) }
            let value = distances.isEmpty
                ? simd_dot(mean(measure.these) - mean(measure.others), up)
                : distances.reduce(0, +) / Double(distances.count)
            return min(max((value / unit - measure.mean) / measure.spread, -farthest), farthest)
        }
    }

    func moved(_ unit: Unit, _ scores: [Double], side: Int? = nil) -> Double {
        unit.moved.map { part in
            let chosen = side == nil || part.places.count == 1 ? part.places : [part.places[side!]]
            return part.factor * chosen.map { scores[$$0] }.reduce(0, +) / Double(chosen.count)
        }.reduce(0, +)
    }

    /// The units of a face: its points, the scores of its 52 blendshapes, its expressions' probabilities.
    func tell(_ points: [SIMD3<Double>], _ scores: [Double], _ expressions: [Float]) -> [ActionUnit] {
        let measured = measure(points)
        return units.map { unit in
            let sum = moved(unit, scores)
            let farther = zip(measured, unit.measured).map(*).reduce(0, +)
            let implied = zip(expressions, unit.shares).map { Double($$0) * $$1 }.reduce(0, +)
            let chance = unit.weight * likely(sum + farther) + (1 - unit.weight) * min(max(implied, 0), 1)
            let sides = unit.sides ? [0, 1].map { likely(moved(unit, scores, side: $$0)) } : nil
            return ActionUnit(number: unit.number, name: unit.name, probability: chance,
                              intensity: unit.intensity ? 5 * min(max(sum, 0), 1) : nil, left: sides?[0], right: sides?[1])
        }
    }
}

final class ActionUnits {
    let expressions: Expressions
    let landmarker = try! Expressions.open("face_landmarks_detector")
    let scorer = try! Expressions.open("face_blendshapes")
    let rules: UnitRules

    init(_ expressions: Expressions) throws {
        self.expressions = expressions
        let file = Bundle.main.url(forResource: "units", withExtension: "json")!
        rules = try JSONDecoder().decode(UnitRules.self, from: Data(contentsOf: file))
    }

    /// The units of the surest face; nil if there is none.
    func recognize(_ picture: CGImage) throws -> [ActionUnit]? {
        guard let found = try expressions.find(picture) else { return nil }
        let probabilities = try expressions.recognize(picture, found.points)
        let eyes = (found.points[0], found.points[1])
        let roll = atan2(eyes.1.y - eyes.0.y, eyes.1.x - eyes.0.x), c = cos(roll), s = sin(roll)
        let center = CGPoint(x: found.box.midX, y: found.box.midY)
        let scale = 256 / (1.5 * max(found.box.width, found.box.height))
        let place = CGAffineTransform(a: scale * c, b: -scale * s, c: scale * s, d: scale * c,
                                      tx: 128 - scale * (c * center.x + s * center.y),
                                      ty: 128 - scale * (c * center.y - s * center.x))
        let pixels = expressions.draw(picture, side: 256, place: place)
        var input = [Float]()
        for i in stride(from: 0, to: pixels.count, by: 4) {
            for k in 0..<3 { input.append(Float(pixels[i + k]) / 255) }
        }
        try landmarker.copy(input.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try landmarker.invoke()
        if expressions.floats(try landmarker.output(at: 1))[0] < 0 { return nil }  // a probability of one half
        let values = expressions.floats(try landmarker.output(at: 0)).map { CGFloat($$0) }
        let points: [SIMD3<Double>] = (0..<478).map { i in
            let x = (values[3 * i] - 128) / scale, y = (values[3 * i + 1] - 128) / scale
            return SIMD3(Double(center.x + c * x - s * y), Double(center.y + s * x + c * y), Double(values[3 * i + 2] / scale))
        }
        let seen = rules.seen.flatMap { [Float(points[$$0].x), Float(points[$$0].y)] }
        try scorer.copy(seen.withUnsafeBytes { Data($$0) }, toInputAt: 0)
        try scorer.invoke()
        let scores = expressions.floats(try scorer.output(at: 0)).map { min(max(Double($$0), 0), 1) }
        return rules.tell(points, scores, probabilities)
    }
}
