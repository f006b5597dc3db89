"""One scenario with Anthropic's Python SDK, named on the command line. Prints what it saw as JSON."""

import json
import os
import sys

import anthropic

MODEL = "claude-opus-5-5"
ASKED = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": "say PONG-7731"}]}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

client = anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], timeout=30)


def unary():
    answer = client.messages.create(**ASKED)
    return {"text": answer.content[0].text, "stop": answer.stop_reason}


def stream():
    with client.messages.stream(**ASKED) as events:
        text = "".join(events.text_stream)
        return {"text": text, "tokens": events.get_final_message().usage.output_tokens}


def tool():
    history = [{"role": "user", "content": "use TOOL:get_weather"}]
    first = client.messages.create(model=MODEL, max_tokens=1024, messages=history, tools=[WEATHER])
    (call,) = [block for block in first.content if block.type == "tool_use"]
    history.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "it is TOOL-RAN-42 degrees"}
    history.append({"role": "user", "content": [result]})
    second = client.messages.create(model=MODEL, max_tokens=1024, messages=history, tools=[WEATHER])
    return {"called": call.name, "text": second.content[0].text}


def count():
    return client.messages.count_tokens(model=MODEL, messages=ASKED["messages"]).input_tokens


def models():
    return {"all": [model.id for model in client.models.list()], "one": client.models.retrieve("claude-haiku-5-5").id}


def main():
    scenario = globals()[sys.argv[1]]
    try:
        print(json.dumps({"result": scenario()}))
    except anthropic.APIError as error:
        told = {"class": type(error).__name__, "message": str(error), "status": getattr(error, "status_code", None)}
        print(json.dumps({"error": told}))


main()
