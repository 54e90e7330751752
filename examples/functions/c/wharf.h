/* A function in C for Wharf: one header, no generated code.
 *
 * Define `answer`; it is called for each request. The component model's ABI is in the imports below, as WebAssembly has them;
 * Wharf makes a component of the module when it takes the image in. Where a call fails, the request ends with a trap. */
#ifndef WHARF_H
#define WHARF_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *path; /* with the query; ends with a 0 */
} wharf_request;

/* What to answer: a status, and a text of so many bytes. */
typedef struct {
    uint16_t status;
    const char *type; /* content-type; NULL: text/plain */
    const char *body;
    size_t length;
} wharf_response;

/* Yours. */
wharf_response answer(const wharf_request *request);

#define WHARF_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define WHARF_TYPES "wasi:http/types@0.2.10"

WHARF_IMPORT(WHARF_TYPES, "[method]incoming-request.path-with-query") void wharf_path(int32_t, void *);
WHARF_IMPORT(WHARF_TYPES, "[resource-drop]incoming-request") void wharf_drop_request(int32_t);
WHARF_IMPORT(WHARF_TYPES, "[constructor]fields") int32_t wharf_fields(void);
WHARF_IMPORT(WHARF_TYPES, "[method]fields.append") void wharf_append(int32_t, const char *, size_t, const char *, size_t, void *);
WHARF_IMPORT(WHARF_TYPES, "[constructor]outgoing-response") int32_t wharf_new_response(int32_t);
WHARF_IMPORT(WHARF_TYPES, "[method]outgoing-response.set-status-code") int32_t wharf_set_status(int32_t, int32_t);
WHARF_IMPORT(WHARF_TYPES, "[method]outgoing-response.body") void wharf_body(int32_t, void *);
WHARF_IMPORT(WHARF_TYPES, "[static]response-outparam.set")
void wharf_set(int32_t, int32_t, int32_t, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t);
WHARF_IMPORT(WHARF_TYPES, "[method]outgoing-body.write") void wharf_write(int32_t, void *);
WHARF_IMPORT(WHARF_TYPES, "[static]outgoing-body.finish") void wharf_finish(int32_t, int32_t, int32_t, void *);
WHARF_IMPORT("wasi:io/streams@0.2.10", "[method]output-stream.blocking-write-and-flush")
void wharf_write_bytes(int32_t, const char *, size_t, void *);
WHARF_IMPORT("wasi:io/streams@0.2.10", "[resource-drop]output-stream") void wharf_drop_stream(int32_t);
WHARF_IMPORT("wasi:config/store@0.2.0-rc.1", "get") void wharf_get(const char *, size_t, void *);
WHARF_IMPORT("wasi:logging/logging@0.1.0-draft", "log") void wharf_log_(int32_t, const char *, size_t, const char *, size_t);
WHARF_IMPORT("wasi:keyvalue/store@0.2.0-draft2", "open") void wharf_open(const char *, size_t, void *);
WHARF_IMPORT("wasi:keyvalue/store@0.2.0-draft2", "[resource-drop]bucket") void wharf_drop_bucket(int32_t);
WHARF_IMPORT("wasi:keyvalue/atomics@0.2.0-draft2", "increment") void wharf_add(int32_t, const char *, size_t, int64_t, void *);

typedef struct {
    const char *bytes;
    uint32_t length;
} wharf_string;

/* Texts from outside are put where this says, with room for a 0. */
__attribute__((export_name("cabi_realloc"))) void *wharf_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)align;
    char *at = realloc(old, size + 1);
    if (!at) __builtin_trap();
    if (size > old_size) memset(at + old_size, 0, size + 1 - old_size);
    return at;
}

/* The value of a key of the configuration, or `otherwise`. */
static const char *wharf_config(const char *key, const char *otherwise) {
    struct { uint8_t failed; uint32_t some; wharf_string value; } got;
    wharf_get(key, strlen(key), &got);
    return got.failed || !(uint8_t)got.some ? otherwise : got.value.bytes;
}

enum { WHARF_TRACE, WHARF_DEBUG, WHARF_INFO, WHARF_WARN, WHARF_ERROR, WHARF_CRITICAL };

/* A message for the log. */
static void wharf_log(int level, const char *context, const char *message) {
    wharf_log_(level, context, strlen(context), message, strlen(message));
}

/* Adds to a number of the bucket `default` and gives the sum. */
static int64_t wharf_increment(const char *key, int64_t delta) {
    struct { uint8_t failed; int32_t bucket; wharf_string words; } opened;
    struct { uint8_t failed; int64_t sum; int64_t more; } added;
    wharf_open("default", 7, &opened);
    if (opened.failed) __builtin_trap();
    wharf_add(opened.bucket, key, strlen(key), delta, &added);
    wharf_drop_bucket(opened.bucket);
    if (added.failed) __builtin_trap();
    return added.sum;
}

__attribute__((export_name("wasi:http/incoming-handler@0.2.10#handle"))) void wharf_handle(int32_t incoming, int32_t out) {
    struct { uint32_t some; wharf_string path; } path = {0};
    struct { uint8_t failed; int32_t value; int64_t more[5]; } result;
    wharf_path(incoming, &path);
    wharf_drop_request(incoming);
    wharf_request request = {(uint8_t)path.some ? path.path.bytes : "/"};
    wharf_response response = answer(&request);
    const char *type = response.type ? response.type : "text/plain; charset=utf-8";
    int32_t headers = wharf_fields();
    wharf_append(headers, "content-type", 12, type, strlen(type), &result);
    int32_t outgoing = wharf_new_response(headers);
    wharf_set_status(outgoing, response.status);
    wharf_body(outgoing, &result);
    int32_t body = result.value;
    wharf_set(out, 0, outgoing, 0, 0, 0, 0, 0, 0);
    wharf_write(body, &result);
    int32_t stream = result.value;
    for (size_t at = 0; at < response.length; at += 4096) {
        size_t left = response.length - at;
        wharf_write_bytes(stream, response.body + at, left < 4096 ? left : 4096, &result);
        if (result.failed) break; /* whoever asked has gone */
    }
    wharf_drop_stream(stream);
    wharf_finish(body, 0, 0, &result);
}

#endif
