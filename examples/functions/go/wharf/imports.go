package wharf

import "unsafe"

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.path-with-query
func pathWithQuery(self int32, out unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [resource-drop]incoming-request
func dropRequest(self int32)

//go:wasmimport wasi:http/types@0.2.10 [constructor]fields
func newFields() int32

//go:wasmimport wasi:http/types@0.2.10 [method]fields.append
func appendField(self int32, name, value string, out unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [constructor]outgoing-response
func newResponse(headers int32) int32

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.set-status-code
func setStatus(self, status int32) int32

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.body
func responseBody(self int32, out unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [static]response-outparam.set
func set(out, failed, response, a int32, b int64, c, d, e, f int32)

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-body.write
func bodyWrite(self int32, out unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.10 [static]outgoing-body.finish
func finish(body, some, trailers int32, out unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [method]output-stream.blocking-write-and-flush
func write(self int32, bytes unsafe.Pointer, length int32, out unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.10 [resource-drop]output-stream
func dropStream(self int32)

//go:wasmimport wasi:config/store@0.2.0-rc.1 get
func configGet(key string, out unsafe.Pointer)

//go:wasmimport wasi:logging/logging@0.1.0-draft log
func log(level int32, context, message string)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 open
func keyvalueOpen(identifier string, out unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [resource-drop]bucket
func dropBucket(self int32)

//go:wasmimport wasi:keyvalue/atomics@0.2.0-draft2 increment
func increment(bucket int32, key string, delta int64, out unsafe.Pointer)
