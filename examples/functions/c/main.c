/* A function in C: greets, counts its visits, and logs them. */

#include "wharf.h"
#include <stdio.h>

static char text[1024];

wharf_response answer(const wharf_request *request) {
    const char *greeting = wharf_config("greeting", "Hello");
    long long visit = wharf_increment("hello-c.visits", 1);
    snprintf(text, sizeof text, "visit %lld, to %s", visit, request->path);
    wharf_log(WHARF_INFO, "hello-c", text);
    snprintf(text, sizeof text, "%s from C! You are visitor %lld.\n", greeting, visit);
    return (wharf_response){.status = 200, .body = text, .length = strlen(text)};
}
