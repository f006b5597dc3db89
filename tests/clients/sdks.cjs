// One scenario with OpenAI's, Google's or Anthropic's JavaScript SDK, named on the command line. Prints what it saw as JSON.
const { BASE_URL: base, API_KEY: key } = process.env;

const openai = () => new (require("openai").OpenAI)({ baseURL: base, apiKey: key });
const google = () => new (require("@google/genai").GoogleGenAI)({ apiKey: key, httpOptions: { baseUrl: base } });
const anthropic = () => new (require("@anthropic-ai/sdk").Anthropic)({ baseURL: base, apiKey: key });
const prompt = "say PONG-7731";

const scenarios = {
  async openai() {
    const client = openai();
    const asked = { model: "gpt-5.2-codex", input: prompt };
    const unary = await client.responses.create(asked);
    let text = "";
    for await (const event of await client.responses.create({ ...asked, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    return { unary: unary.output_text, stream: text, models };
  },
  async google() {
    const { models } = google();
    const asked = { model: "gemini-2.5-flash", contents: prompt };
    const unary = await models.generateContent(asked);
    let text = "";
    for await (const chunk of await models.generateContentStream(asked)) text += chunk.text;
    const counted = await models.countTokens(asked);
    const listed = [];
    for await (const model of await models.list()) listed.push(model.name);
    return { unary: unary.text, stream: text, tokens: counted.totalTokens, models: listed };
  },
  async anthropic() {
    const { messages, models } = anthropic();
    const talk = { model: "claude-opus-5-5", messages: [{ role: "user", content: prompt }] };
    const unary = await messages.create({ ...talk, max_tokens: 1024 });
    const stream = await messages.stream({ ...talk, max_tokens: 1024 }).finalText();
    const counted = await messages.countTokens(talk);
    const listed = [];
    for await (const model of models.list()) listed.push(model.id);
    return { unary: unary.content[0].text, stream, tokens: counted.input_tokens, models: listed };
  },
  async broken() {
    const asked = { model: "gemini-2.5-flash", contents: prompt };
    let text = "";
    for await (const chunk of await google().models.generateContentStream(asked)) text += chunk.text;
    return { text };
  },
};

scenarios[process.argv[2]]().then(
  (result) => console.log(JSON.stringify({ result })),
  (error) => console.log(JSON.stringify({ error: { name: error.name, status: error.status, message: error.message } })),
);
