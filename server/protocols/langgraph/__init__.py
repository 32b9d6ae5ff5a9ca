"""The wire of the LangGraph SDK under `/langgraph`: `get_client(url="http://host/langgraph")`.

Measured against langgraph-api 0.16.7, langgraph-sdk 0.4 (Python) and 1.15 to 2.0 (JavaScript). What a
client may leave out or get wrong there is forgiven here; what is not served answers 501 with a code.
"""
