import { createElement } from "react";

const Weather = ({ city }) => createElement("p", null, `It rains in ${city}`);

// biome-ignore lint/style/noDefaultExport: where the bundler looks
export default { weather: Weather };
