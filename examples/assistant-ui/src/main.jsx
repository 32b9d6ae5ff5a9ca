import { createRoot } from "react-dom/client";
import { Chat } from "./chat.jsx";
import "./style.css";

// Where the service is, and a key of `waystation keys create` where people log in: ?service=...&key=...
const query = new URLSearchParams(location.search);
const service = query.get("service") ?? "http://127.0.0.1:8000";

createRoot(document.getElementById("root")).render(
  <Chat apiUrl={`${service}/langgraph`} apiKey={query.get("key") ?? undefined} />,
);
