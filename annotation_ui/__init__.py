"""The Streamlit app in which people rate texts."""
