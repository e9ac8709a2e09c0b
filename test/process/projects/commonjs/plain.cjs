exports.graph = require("./parts.js").build().compile();
