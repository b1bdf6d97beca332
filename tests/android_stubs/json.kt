package org.json

class JSONArray(json: String) {
    fun length(): Int = 0
    fun getInt(index: Int): Int = 0
    fun getDouble(index: Int): Double = 0.0
    fun getJSONArray(index: Int): JSONArray = throw UnsupportedOperationException()
    fun getJSONObject(index: Int): JSONObject = throw UnsupportedOperationException()
}

class JSONObject(json: String) {
    fun getInt(name: String): Int = 0
    fun getDouble(name: String): Double = 0.0
    fun getBoolean(name: String): Boolean = false
    fun getString(name: String): String = ""
    fun getJSONArray(name: String): JSONArray = throw UnsupportedOperationException()
}
