// Facial expressions in a picture, on Android; made by kerasfer for the recognizer $file.
// Needs com.google.ai.edge.litert:litert and, in assets/, the two networks that it opens.

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import kotlin.math.max
import kotlin.math.roundToInt
import org.tensorflow.lite.Interpreter

class Expressions(context: Context) {
    private val detector = open(context, "face_detection_short_range.tflite")
    private val recognizer = open(context, "$file")
    val labels = listOf($kotlin_labels)

    internal fun open(context: Context, name: String): Interpreter {
        val file = context.assets.openFd(name)
        val content = file.createInputStream().channel
        return Interpreter(content.map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength))
    }

    /**
     * The surest face, in pixels of the picture: center x, y, width and height of its box, then right eye, left eye,
     * nose and mouth as x, y; null if there is no face.
     */
    fun find(picture: Bitmap): FloatArray? {
        val scale = 128f / max(picture.width, picture.height)
        val left = (128 - picture.width * scale) / 2
        val top = (128 - picture.height * scale) / 2
        val square = Bitmap.createBitmap(128, 128, Bitmap.Config.ARGB_8888).apply { eraseColor(Color.BLACK) }
        val place = Matrix().apply { setScale(scale, scale); postTranslate(left, top) }
        Canvas(square).drawBitmap(picture, place, Paint(Paint.FILTER_BITMAP_FLAG))
        val input = ByteBuffer.allocateDirect(128 * 128 * 3 * 4).order(ByteOrder.nativeOrder())
        for (y in 0 until 128) for (x in 0 until 128) {
            val p = square.getPixel(x, y)
            for (c in listOf(Color.red(p), Color.green(p), Color.blue(p))) input.putFloat(c / 127.5f - 1f)
        }
        val values = Array(1) { Array(896) { FloatArray(16) } }
        val scores = Array(1) { Array(896) { FloatArray(1) } }
        detector.runForMultipleInputsOutputs(arrayOf<Any>(input.rewind()), mapOf(0 to values, 1 to scores))
        var best = 0
        for (i in 1 until 896) if (scores[0][i][0] > scores[0][best][0]) best = i
        if (scores[0][best][0] < 0f) return null  // a score of one half
        val (cell, cells) = if (best < 512) Pair(best / 2, 16) else Pair((best - 512) / 6, 8)
        val anchor = floatArrayOf((cell % cells + 0.5f) / cells * 128, (cell / cells + 0.5f) / cells * 128)
        return FloatArray(12) {
            val shift = if (it == 2 || it == 3) 0f else anchor[it % 2] - (if (it % 2 == 0) left else top)
            (values[0][best][it] + shift) / scale
        }
    }

    /** The similarity transform that brings points nearest to others. */
    private fun similarity(from: FloatArray, to: FloatArray): Matrix {
        fun mean(p: FloatArray, axis: Int) = (axis until 8 step 2).map { p[it] }.average().toFloat()
        val (fx, fy, tx, ty) = listOf(mean(from, 0), mean(from, 1), mean(to, 0), mean(to, 1))
        var size = 0f; var cosine = 0f; var sine = 0f
        for (i in 0 until 8 step 2) {
            val x = from[i] - fx; val y = from[i + 1] - fy; val u = to[i] - tx; val v = to[i + 1] - ty
            size += x * x + y * y; cosine += x * u + y * v; sine += x * v - y * u
        }
        val c = cosine / size; val s = sine / size
        return Matrix().apply {
            setValues(floatArrayOf(c, -s, tx - c * fx + s * fy, s, c, ty - s * fx - c * fy, 0f, 0f, 1f))
        }
    }

    /** Probabilities in the order of the labels; null if there is no face. */
    fun recognize(picture: Bitmap): List<Float>? = find(picture)?.let { recognize(picture, it) }

    /** The same of a face as `find` gives it. */
    fun recognize(picture: Bitmap, found: FloatArray): List<Float> {
        val from = found.copyOfRange(4, 12)
        val to = floatArrayOf($kotlin_target)
        val face = Bitmap.createBitmap($size, $size, Bitmap.Config.ARGB_8888)
        Canvas(face).drawBitmap(picture, similarity(from, to), Paint(Paint.FILTER_BITMAP_FLAG))
        val input = ByteBuffer.allocateDirect($bytes_a_face).order(ByteOrder.nativeOrder())
        for (y in 0 until $size) for (x in 0 until $size) {
            val p = face.getPixel(x, y)
            val red = Color.red(p); val green = Color.green(p); val blue = Color.blue(p)
            input$kotlin_put
        }
        val answer = Array(1) { $kotlin_answer($count) }
        recognizer.run(input.rewind(), answer)
        return $kotlin_probabilities
    }
}
