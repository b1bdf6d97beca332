package android.content.res

import java.io.FileInputStream
import java.io.InputStream

abstract class AssetManager {
    abstract fun open(name: String): InputStream
    abstract fun openFd(name: String): AssetFileDescriptor
}

abstract class AssetFileDescriptor {
    abstract val startOffset: Long
    abstract val declaredLength: Long
    abstract fun createInputStream(): FileInputStream
}
