"""One scenario with Google's Python SDK, named on the command line. Prints what it saw as JSON."""

import json
import os
import sys

from google import genai
from google.genai import errors, types

MODEL = "gemini-2.5-flash"

client = genai.Client(api_key=os.environ["API_KEY"], http_options={"base_url": os.environ["BASE_URL"]})


def unary():
    answer = client.models.generate_content(model=MODEL, contents="say PONG-7731")
    return {"text": answer.text, "tokens": answer.usage_metadata.total_token_count}


def stream():
    seen = []
    try:
        for chunk in client.models.generate_content_stream(model=MODEL, contents="say PONG-7731"):
            seen.append(chunk.text)
    except errors.APIError as error:
        return {"chunks": seen, "class": type(error).__name__, "code": error.code, "message": error.message}
    return {"chunks": seen, "text": "".join(seen)}


def tool():
    asked = []

    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "it is TOOL-RAN-42 degrees"

    config = types.GenerateContentConfig(tools=[get_weather])
    answer = client.models.generate_content(model=MODEL, contents="use TOOL:get_weather", config=config)
    return {"asked": asked, "text": answer.text}


def count():
    return client.models.count_tokens(model=MODEL, contents="say PONG-7731").total_tokens


def models():
    return {"all": [model.name for model in client.models.list()], "one": client.models.get(model=MODEL).name}


def embed():
    return client.models.embed_content(model=MODEL, contents="say PONG-7731")


def embed_one():
    answer = client.models.embed_content(model="gemini-embedding-001", contents="say PONG-7731")
    return len(answer.embeddings[0].values)


def unknown():
    return client.models.generate_content(model="gemini-1", contents="say PONG-7731").text


def main():
    scenario = globals()[sys.argv[1]]
    try:
        print(json.dumps({"result": scenario()}))
    except errors.APIError as error:
        told = {"class": type(error).__name__, "message": error.message, "code": error.code}
        print(json.dumps({"error": told | {"status": error.status}}))


main()
