package org.tensorflow.lite

import java.nio.ByteBuffer

class Interpreter(model: ByteBuffer) {
    fun run(input: Any, output: Any) {}
    fun runForMultipleInputsOutputs(inputs: Array<Any>, outputs: Map<Int, Any>) {}
}
