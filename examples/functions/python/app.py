"""A function in Python: greets, counts its visits, and logs them."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports import atomics, logging, wasi_config_store as config, wasi_keyvalue_store as keyvalue
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        greeting = config.get("greeting") or "Hello"
        visit = atomics.increment(keyvalue.open("default"), "hello-python.visits", 1)
        logging.log(logging.Level.INFO, "hello-python", f"visit {visit}, to {request.path_with_query()}")
        answer(response_out, f"{greeting} from Python! You are visitor {visit}.\n")


def answer(response_out, text):
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        stream.blocking_write_and_flush(text.encode())
    OutgoingBody.finish(body, None)
