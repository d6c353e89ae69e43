"""What the fake server refuses as a real one does: a bad key, a bad body, a model it has not, a prompt too long."""

from typing import Any

import orjson

from datagen.fake.wire import JSON, Response

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
NUMBERS = {  # parameter: (lowest, highest)
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
COUNTS = {"n": (1, 128), "max_tokens": (1, 1 << 30), "max_completion_tokens": (1, 1 << 30), "top_logprobs": (0, 20)}


def error(
    status: int,
    message: str,
    code: str | None = None,
    kind: str = "invalid_request_error",
    headers: tuple[tuple[str, str], ...] = (),
    param: str | None = None,
) -> Response:
    """An error in OpenAI's form."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Response(status, orjson.dumps(body), JSON + headers)


def check(request: Any) -> Response | None:
    """Why a chat body cannot be answered, or None; afterwards its fields have the types that the answers need."""
    if not isinstance(request, dict):
        return error(400, "We could not parse the JSON body of your request; it must be an object.")
    if not isinstance(request.get("model"), str) or not request["model"]:
        return error(400, "you must provide a model parameter")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return error(400, "Missing required parameter: 'messages'.", "missing_required_parameter", param="messages")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            known = ", ".join(ROLES)
            return error(400, f"Invalid value: 'messages[{place}].role' must be one of {known}.", "invalid_value")
        if not isinstance(message.get("content"), (str, list, type(None))):
            return error(400, f"Invalid type for 'messages[{place}].content'.", "invalid_type", param="messages")
    for name, (low, high) in {**NUMBERS, **COUNTS}.items():
        value = request.get(name)
        kinds = (int,) if name in COUNTS else (int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high):
            return error(
                400, f"Invalid '{name}': expected {low} to {high}, got {value!r}.", "invalid_value", param=name
            )
    if request.get("top_logprobs") and not request.get("logprobs"):
        return error(400, "'top_logprobs' is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    return _check_rest(request)


def _check_rest(request: dict[str, Any]) -> Response | None:
    stop = request.get("stop")
    listed = [stop] if isinstance(stop, str) else stop
    if listed is not None and (not isinstance(listed, list) or not all(isinstance(text, str) for text in listed)):
        return error(400, "Invalid 'stop': expected a string or up to 4 strings.", "invalid_type", param="stop")
    form = request.get("response_format")
    if form is not None:
        kind = form.get("type") if isinstance(form, dict) else None
        if kind not in ("text", "json_object", "json_schema"):
            return error(400, f"Invalid 'response_format.type': {kind!r}.", "invalid_value", param="response_format")
        held = form.get("json_schema")
        if kind == "json_schema" and not (isinstance(held, dict) and isinstance(held.get("schema"), dict)):
            return error(400, "Missing 'response_format.json_schema.schema'.", param="response_format")
    tools = request.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(_is_tool(tool) for tool in tools)):
        return error(400, "Invalid 'tools': expected functions with a name.", "invalid_type", param="tools")
    return None


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)
