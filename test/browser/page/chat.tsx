import type { Message } from "@langchain/langgraph-sdk";
import { useStream } from "@langchain/langgraph-sdk/react";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const parameters = new URLSearchParams(location.search);

interface State extends Record<string, unknown> {
  messages: Message[];
}
interface Question {
  question: string;
}

const textOf = ({ content }: Message): string =>
  typeof content === "string" ? content : JSON.stringify(content);

/** As an app would: the thread stays in the address, so that a reload finds it again. */
function keepThread(threadId: string): void {
  parameters.set("thread", threadId);
  history.replaceState(null, "", `?${parameters}`);
}

function Chat() {
  const [threadId, setThreadId] = useState(parameters.get("thread"));
  const stream = useStream<State, { InterruptType: Question }>({
    apiUrl: parameters.get("api") ?? "",
    assistantId: "chat",
    messagesKey: "messages",
    threadId,
    onThreadId: (id) => {
      keepThread(id);
      setThreadId(id);
    },
    reconnectOnMount: true,
  });
  const send = () =>
    stream.submit(
      { messages: [{ type: "human", content: "tell me" }] },
      { streamResumable: true, onDisconnect: "continue" },
    );
  return (
    <main>
      {stream.messages.map((message, index) => (
        <p key={message.id ?? index} className={message.type}>
          {textOf(message)}
        </p>
      ))}
      <output id="question">{stream.interrupt?.value?.question}</output>
      <output id="error">{stream.error === undefined ? "" : String(stream.error)}</output>
      <output id="state">{stream.isLoading ? "loading" : "still"}</output>
      <button type="button" id="send" onClick={send}>
        Send
      </button>
      <button
        type="button"
        id="resume"
        onClick={() => stream.submit(undefined, { command: { resume: "yes" } })}
      >
        Yes
      </button>
    </main>
  );
}

const root = document.getElementById("root");
if (root !== null) createRoot(root).render(<Chat />);
