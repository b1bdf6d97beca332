package android.content.res

import java.io.FileInputStream

abstract class AssetManager {
    abstract fun openFd(name: String): AssetFileDescriptor
}

abstract class AssetFileDescriptor {
    abstract val startOffset: Long
    abstract val declaredLength: Long
    abstract fun createInputStream(): FileInputStream
}
