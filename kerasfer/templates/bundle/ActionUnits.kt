// FACS action units of the face in a picture, on Android; made by kerasfer for the recognizer $file.
// Needs, in assets/, the two networks that it opens and units.json, and Expressions.kt beside it.

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.sin
import kotlin.math.sqrt
import org.json.JSONArray
import org.json.JSONObject

/** Probability 0 to 1; intensity 0 to 5, and the person's left and right 0 to 1, where they are known. */
class ActionUnit(
    val number: Int, val name: String, val probability: Double,
    val intensity: Double?, val left: Double?, val right: Double?
)

/** How units are told of movements and expressions: units.json. */
class UnitRules(json: String) {
    private val told = JSONObject(json)
    val seen: List<Int> = ints(told.getJSONArray("seen"))
    private val middle = told.getDouble("middle")
    private val steepness = told.getDouble("steepness")
    private val farthest = told.getDouble("farthest")

    private fun ints(list: JSONArray) = List(list.length()) { list.getInt(it) }
    private fun objects(list: JSONArray) = List(list.length()) { list.getJSONObject(it) }
    private fun dot(one: DoubleArray, other: DoubleArray) = one.indices.sumByDouble { one[it] * other[it] }
    private fun minus(one: DoubleArray, other: DoubleArray) = DoubleArray(3) { one[it] - other[it] }
    private fun length(one: DoubleArray) = sqrt(dot(one, one))
    private fun likely(sum: Double) = 1 / (1 + exp(-steepness * (sum - middle)))

    private fun mean(points: List<DoubleArray>, places: List<Int>) =
        DoubleArray(3) { axis -> places.map { points[it][axis] }.average() }

    /** Distances and heights of 478 points x, y, z, in standard deviations from neutral faces. */
    fun measures(points: List<DoubleArray>): List<Double> {
        val (right, left) = ints(told.getJSONArray("corners"))
        val (low, high) = ints(told.getJSONArray("axis"))
        val line = minus(points[left], points[right])
        val unit = length(line)
        val across = DoubleArray(3) { line[it] / unit }
        val leaning = minus(points[high], points[low])
        val upright = DoubleArray(3) { leaning[it] - dot(leaning, across) * across[it] }
        val up = DoubleArray(3) { upright[it] / length(upright) }
        return objects(told.getJSONArray("measures")).map { measure ->
            val pairs = measure.getJSONArray("between")
            val value = if (pairs.length() > 0) {
                List(pairs.length()) { ints(pairs.getJSONArray(it)) }
                    .map { (one, other) -> length(minus(points[one], points[other])) }.average()
            } else {
                val (these, others) = listOf("these", "others").map { mean(points, ints(measure.getJSONArray(it))) }
                dot(minus(these, others), up)
            }
            val far = (value / unit - measure.getDouble("mean")) / measure.getDouble("spread")
            far.coerceIn(-farthest, farthest)
        }
    }

    private fun moved(unit: JSONObject, scores: FloatArray, side: Int?) =
        objects(unit.getJSONArray("moved")).sumByDouble { part ->
            val places = ints(part.getJSONArray("places"))
            val chosen = if (side == null || places.size == 1) places else listOf(places[side])
            part.getDouble("factor") * chosen.map { scores[it].toDouble() }.average()
        }

    /** The units of a face: its points, the scores of its 52 blendshapes, its expressions' probabilities. */
    fun tell(points: List<DoubleArray>, scores: FloatArray, expressions: List<Float>): List<ActionUnit> {
        val measures = measures(points)
        return objects(told.getJSONArray("units")).map { unit ->
            val (measured, shares) = listOf("measured", "shares").map { unit.getJSONArray(it) }
            val sum = moved(unit, scores, null)
            val farther = measures.indices.sumByDouble { measures[it] * measured.getDouble(it) }
            val implied = expressions.indices.sumByDouble { expressions[it] * shares.getDouble(it) }.coerceIn(0.0, 1.0)
            val weight = unit.getDouble("weight")
            val sides = if (unit.getBoolean("sides")) listOf(0, 1).map { likely(moved(unit, scores, it)) } else null
            ActionUnit(
                unit.getInt("number"), unit.getString("name"), weight * likely(sum + farther) + (1 - weight) * implied,
                if (unit.getBoolean("intensity")) 5 * sum.coerceIn(0.0, 1.0) else null, sides?.get(0), sides?.get(1)
            )
        }
    }
}

class ActionUnits(context: Context, private val expressions: Expressions) {
    private val landmarker = expressions.open(context, "face_landmarks_detector.tflite")
    private val scorer = expressions.open(context, "face_blendshapes.tflite")
    private val rules = UnitRules(context.assets.open("units.json").bufferedReader().use { it.readText() })

    /** The units of the surest face; null if there is none. */
    fun recognize(picture: Bitmap): List<ActionUnit>? {
        val found = expressions.find(picture) ?: return null
        val probabilities = expressions.recognize(picture, found)
        val (cx, cy, width, height) = found.take(4)
        val roll = atan2(found[7] - found[5], found[6] - found[4])
        val scale = 256 / (1.5f * max(width, height))
        val c = cos(roll); val s = sin(roll)
        val square = Bitmap.createBitmap(256, 256, Bitmap.Config.ARGB_8888)
        val place = Matrix().apply {
            setValues(floatArrayOf(
                scale * c, scale * s, 128 - scale * (c * cx + s * cy),
                -scale * s, scale * c, 128 - scale * (c * cy - s * cx), 0f, 0f, 1f
            ))
        }
        Canvas(square).drawBitmap(picture, place, Paint(Paint.FILTER_BITMAP_FLAG))
        val input = ByteBuffer.allocateDirect(256 * 256 * 3 * 4).order(ByteOrder.nativeOrder())
        for (y in 0 until 256) for (x in 0 until 256) {
            val p = square.getPixel(x, y)
            for (color in listOf(Color.red(p), Color.green(p), Color.blue(p))) input.putFloat(color / 255f)
        }
        val mesh = Array(1) { Array(1) { Array(1) { FloatArray(478 * 3) } } }
        val presence = Array(1) { Array(1) { Array(1) { FloatArray(1) } } }
        landmarker.runForMultipleInputsOutputs(arrayOf<Any>(input.rewind()), mapOf(0 to mesh, 1 to presence))
        if (presence[0][0][0][0] < 0f) return null  // a probability of one half
        val values = mesh[0][0][0]
        val points = List(478) {
            val x = (values[3 * it] - 128) / scale; val y = (values[3 * it + 1] - 128) / scale
            val place = listOf(cx + c * x - s * y, cy + s * x + c * y, values[3 * it + 2] / scale)
            DoubleArray(3) { axis -> place[axis].toDouble() }
        }
        val seen = Array(1) { Array(rules.seen.size) { i -> FloatArray(2) { points[rules.seen[i]][it].toFloat() } } }
        val scores = FloatArray(52)
        scorer.run(seen, scores)
        return rules.tell(points, FloatArray(52) { scores[it].coerceIn(0f, 1f) }, probabilities)
    }
}
