import { shared } from "a-shared-package";
import { createElement } from "react";
import "./components.css";

const Weather = ({ city }) => createElement("p", { className: shared }, `It rains in ${city}`);

// biome-ignore lint/style/noDefaultExport: where the bundler looks
export default { weather: Weather };
