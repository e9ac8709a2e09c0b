import { useStream } from "@langchain/langgraph-sdk/react";
import { isUIMessage, LoadExternalComponent } from "@langchain/langgraph-sdk/react-ui";
import { createRoot } from "react-dom/client";

function Weather() {
  const stream = useStream({
    apiUrl: new URLSearchParams(location.search).get("api") ?? "",
    assistantId: "weather",
    messagesKey: "messages",
  });
  const { ui } = stream.values;
  const pushed = Array.isArray(ui) ? ui.filter(isUIMessage) : [];
  return (
    <main>
      {pushed.map((message) => (
        <LoadExternalComponent key={message.id} className="loaded" stream={stream} message={message} />
      ))}
      <output id="error">{stream.error === undefined ? "" : String(stream.error)}</output>
      <button type="button" id="send" onClick={() => stream.submit({})}>
        Send
      </button>
    </main>
  );
}

const root = document.getElementById("root");
if (root !== null) createRoot(root).render(<Weather />);
