// Package wharf is what a function in Go needs: one file, no generated code, any Go from 1.24 on.
//
// The component model's ABI is in imports.go, as WebAssembly has it; Wharf makes a component of the module when it takes the
// image in.
package wharf

import (
	"errors"
	"runtime"
	"unsafe"
)

// Request is what was asked.
type Request struct {
	Path string // with the query
}

// Response is what to answer.
type Response struct {
	Status int
	Type   string // content-type
	Body   []byte
}

// Text is a response of a text.
func Text(status int, text string) Response {
	return Response{Status: status, Type: "text/plain; charset=utf-8", Body: []byte(text)}
}

var handler func(Request) Response

// Handle says what answers requests. It is called in an init function.
func Handle(h func(Request) Response) { handler = h }

// Level says how much a message matters.
type Level int32

// The levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
	Critical
)

// Log puts a message into the log.
func Log(level Level, context, message string) { log(int32(level), context, message) }

// Config is the value of a key of the configuration. Variables of the environment are in it, and in os.Getenv.
func Config(key string) (value string, found bool) {
	var got struct {
		failed uint8
		some   uint32
		value  str
	}
	configGet(key, unsafe.Pointer(&got))
	if got.failed != 0 || uint8(got.some) == 0 {
		return "", false
	}
	return got.value.take(), true
}

// Increment adds to a number of the bucket "default" and gives the sum.
func Increment(key string, delta int64) (int64, error) {
	var opened struct {
		failed uint8
		bucket int32
		words  str
	}
	keyvalueOpen("default", unsafe.Pointer(&opened))
	if opened.failed != 0 {
		return 0, errors.New("the bucket cannot be opened")
	}
	defer dropBucket(opened.bucket)
	var added struct {
		failed uint8
		sum    int64
		more   int64
	}
	increment(opened.bucket, key, delta, unsafe.Pointer(&added))
	if added.failed != 0 {
		return 0, errors.New("the number cannot be changed")
	}
	return added.sum, nil
}

// A text from outside; it lies where realloc said.
type str struct {
	bytes  uint32
	length uint32
}

func (s str) take() string {
	for i, p := range pinned {
		if len(p) > 0 && uint32(uintptr(unsafe.Pointer(&p[0]))) == s.bytes {
			pinned = append(pinned[:i], pinned[i+1:]...)
			return string(p[:s.length])
		}
	}
	return ""
}

// What was handed out and not taken yet: the garbage collector must not.
var pinned [][]byte

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	bytes := make([]byte, size)
	pinned = append(pinned, bytes)
	return uint32(uintptr(unsafe.Pointer(&bytes[0])))
}

// The head of a result: whether it failed, and a handle; with room for any error.
type result struct {
	failed uint8
	handle int32
	more   [5]int64
}

//go:wasmexport wasi:http/incoming-handler@0.2.10#handle
func handle(incoming, out int32) {
	var path struct {
		some uint32
		path str
	}
	pathWithQuery(incoming, unsafe.Pointer(&path))
	dropRequest(incoming)
	request := Request{Path: "/"}
	if uint8(path.some) != 0 {
		request.Path = path.path.take()
	}
	response := handler(request)
	var r result
	headers := newFields()
	appendField(headers, "content-type", response.Type, unsafe.Pointer(&r))
	outgoing := newResponse(headers)
	setStatus(outgoing, int32(response.Status))
	responseBody(outgoing, unsafe.Pointer(&r))
	body := r.handle
	set(out, 0, outgoing, 0, 0, 0, 0, 0, 0)
	bodyWrite(body, unsafe.Pointer(&r))
	stream := r.handle
	for rest := response.Body; len(rest) > 0; {
		n := min(len(rest), 4096)
		write(stream, unsafe.Pointer(&rest[0]), int32(n), unsafe.Pointer(&r))
		if r.failed != 0 { // whoever asked has gone
			break
		}
		rest = rest[n:]
	}
	dropStream(stream)
	finish(body, 0, 0, unsafe.Pointer(&r))
	pinned = nil
	runtime.KeepAlive(response.Body)
}
