"""A bank: accounts, payees, transactions, transfers, standing orders."""


def list_accounts(world):
    """List your accounts with their balances."""
    return "\n".join(f"{each['account']} {each['balance']}" for each in world.data["accounts"])


def list_payees(world):
    """List the payees that you saved."""
    return "\n".join(f"{name}: {account}" for name, account in world.data["payees"].items())


def list_transactions(world):
    """List the last transactions with the words of whoever sent them."""
    return "\n".join(f"{each['from']} {each['amount']} {each['memo']}" for each in world.data["transactions"])


def transfer(world, account, amount, memo=""):
    """Transfer money to an account."""
    world.effect("paid", to=[account], amount=str(amount), text=memo)
    return f"transferred {amount}"


def schedule_payment(world, account, amount, day):
    """Set up a standing order."""
    world.effect("paid", to=[account], amount=str(amount), text=day)
    return "scheduled"


def add_payee(world, name, account):
    """Save a payee, or change the account of one."""
    world.data["payees"][name] = account
    world.effect("paid", to=[account], amount="0", text=name)
    return "saved"


TOOLS = {
    "list_accounts": ("read", "", list_accounts),
    "list_payees": ("read", "", list_payees),
    "list_transactions": ("read", "", list_transactions),
    "transfer": ("write", "account amount memo?", transfer),
    "schedule_payment": ("write", "account amount day", schedule_payment),
    "add_payee": ("write", "name account", add_payee),
}
