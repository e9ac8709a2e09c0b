// What the server bundles for a page: React and the stream are the page's own.
import { useStreamContext } from "@langchain/langgraph-sdk/react-ui";
import { useState } from "react";
import "./components.css";

function Weather({ city, hours }: { city: string; hours: number }) {
  const [open, setOpen] = useState(false);
  const { messages } = useStreamContext();
  return (
    <section>
      <p className="forecast">
        It rains in {city} for {hours} hours
      </p>
      <button type="button" className="advice" onClick={() => setOpen(true)}>
        {open ? String(messages.at(-1)?.content) : "And now?"}
      </button>
    </section>
  );
}

// biome-ignore lint/style/noDefaultExport: where the bundler looks
export default { weather: Weather };
