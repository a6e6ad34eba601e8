// Shows the API's own description. Nothing is asked of any other server.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  showExtensions: true, // the scope that a call needs
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
