"""Other people's encoders behind our contract, each library imported only when its encoder is built."""
