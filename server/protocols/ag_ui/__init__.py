"""AG-UI 1.0 (https://docs.ag-ui.com), the wire of front ends such as CopilotKit's: `POST /ag-ui`.

The package `ag-ui-protocol` reads requests; it is imported with the first one, since its models take
a tenth of a second. Events are written by hand, encoded once each; the tests hold them to its models.
"""
