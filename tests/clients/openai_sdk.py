"""One scenario with OpenAI's Python SDK, named on the command line. Prints what it saw as JSON."""

import json
import os
import sys

import openai

MODEL = "gpt-5.2-codex"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], timeout=30)


def unary():
    answer = client.responses.create(model=MODEL, input="say PONG-7731")
    return {"text": answer.output_text, "status": answer.status, "tokens": answer.usage.total_tokens}


def stream():
    events = list(client.responses.create(model=MODEL, input="say PONG-7731", stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    return {"text": text, "types": [event.type for event in events]}


def tool():
    history = [{"role": "user", "content": "use TOOL:get_weather"}]
    first = client.responses.create(model=MODEL, input=history, tools=[WEATHER])
    (call,) = [item for item in first.output if item.type == "function_call"]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "it is TOOL-RAN-42 degrees"})
    second = client.responses.create(model=MODEL, input=history, tools=[WEATHER])
    return {"called": call.name, "arguments": json.loads(call.arguments), "text": second.output_text}


def schema():
    form = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    form["additionalProperties"] = False
    wanted = {"format": {"type": "json_schema", "name": "form", "schema": form, "strict": True}}
    answer = client.responses.create(model=MODEL, input="forty-two", text=wanted)
    return json.loads(answer.output_text)


def models():
    return [model.id for model in client.models.list()]


def main():
    scenario = globals()[sys.argv[1]]
    try:
        print(json.dumps({"result": scenario()}))
    except openai.APIError as error:
        told = {"class": type(error).__name__, "message": str(error), "code": error.code}
        told["status"] = getattr(error, "status_code", None)
        print(json.dumps({"error": told}))


main()
