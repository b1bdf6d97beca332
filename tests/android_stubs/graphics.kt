package android.graphics

abstract class Bitmap {
    enum class Config { ARGB_8888 }

    abstract val width: Int
    abstract val height: Int
    abstract fun eraseColor(color: Int)
    abstract fun getPixel(x: Int, y: Int): Int

    companion object {
        @JvmStatic
        fun createBitmap(width: Int, height: Int, config: Config): Bitmap = throw UnsupportedOperationException()
    }
}

open class Paint(flags: Int) {
    companion object {
        const val FILTER_BITMAP_FLAG = 2
    }
}

open class Matrix {
    fun setScale(x: Float, y: Float) {}
    fun postTranslate(x: Float, y: Float): Boolean = true
    fun setValues(values: FloatArray) {}
}

open class Canvas(bitmap: Bitmap) {
    fun drawBitmap(bitmap: Bitmap, place: Matrix, paint: Paint?) {}
}

object Color {
    const val BLACK = -0x1000000

    @JvmStatic
    fun red(color: Int): Int = color shr 16 and 0xFF

    @JvmStatic
    fun green(color: Int): Int = color shr 8 and 0xFF

    @JvmStatic
    fun blue(color: Int): Int = color and 0xFF
}
