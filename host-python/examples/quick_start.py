import sessile

with sessile.open("sessions") as store:
    session = store.create(title="Fix the build")
    store.append(session.id, {"role": "user", "parts": [{"type": "text", "text": "Why does it fail?"}]})
    store.append(session.id, {"role": "assistant", "parts": [{"type": "text", "text": "A missing import."}]})

    fork = store.fork(session.id)
    store.revert(fork.id, 1)  # hides message 2 in the fork
    for stored in store.messages(session.id):
        print(stored["seq"], stored["message"]["role"], stored["message"]["parts"][0]["text"])
